"""From feature maps to vectors that can be compared: regions, pooling, whitening, expansion, diffusion, re-ranking.

Pooling works on torch tensors, as towers give them; what follows extraction is linear algebra on NumPy arrays.
`docs/descriptors.md` lists every name with its formula and source.
"""
