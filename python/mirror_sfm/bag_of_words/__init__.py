"""Bags of visual words: vocabulary trees, tf-idf, Hamming embedding, weak geometric consistency.

What structure from motion chose its pairs with before learned descriptors, here to compare with. NumPy and SciPy do the
work; only making a vocabulary needs faiss. `docs/bag_of_words.md` lists every name with its formula and source.
"""
