"""Surfaces for scenes that come without a mesh: from the points of the reconstruction, or from depth maps."""
