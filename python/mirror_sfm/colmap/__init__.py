"""COLMAP: its databases, its geometric verification, its mappers. The only place that imports pycolmap."""

# pycolmap carries a zlib of its own and lets others find it: whoever compresses or reads a PNG afterwards mixes
# two versions and crashes (pycolmap 4.2.1 on Linux). With Python's loaded first, everybody has the same one.
import zlib  # noqa: F401
