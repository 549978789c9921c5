"""COLMAP: its databases, its geometric verification, its mappers. The only place that imports pycolmap."""
