"""Learning towers from graded overlap: losses, and later sampling and training. Needs torch."""
