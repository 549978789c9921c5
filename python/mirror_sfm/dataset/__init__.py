"""Training sets: scenes in, photos, graded pairs and masks out, memory-mapped.

`build` makes one, `format` reads it (NumPy only), `triplets` feeds it to a network (torch).
"""
