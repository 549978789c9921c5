"""Who sees what: overlap of photos from tracks, surface and depth, graded labels, masks."""
