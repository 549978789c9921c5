"""Reconstructed scenes: cameras, tracks, surface, depth, whatever program made them.

`read_scene` (in `reading`) takes a folder and finds out what it holds; every other file reads or writes one format.
"""
