"""Learning towers from graded overlap: losses, the configuration of a run, and the run. Needs torch.

batch (dataset.triplets) -> tower -> vectors (pooling) -> loss (losses) -> step (learner, optimisation)
many steps, validation, checkpoints: training
"""
