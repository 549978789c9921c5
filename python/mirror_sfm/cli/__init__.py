"""The command line: a thin skin over the Python functions, one file per command.

Exit codes: 0 done, 1 nothing usable, 2 wrong usage, 130 interrupted.
"""

from mirror_sfm.cli.app import main

from mirror_sfm.cli.pairs import pairs  # isort: skip  (the order of the commands in --help)
from mirror_sfm.cli.match import match  # isort: skip
from mirror_sfm.cli.reconstruct import reconstruct  # isort: skip
from mirror_sfm.cli.evaluate import evaluate  # isort: skip
from mirror_sfm.cli.overlap import overlap  # isort: skip
from mirror_sfm.cli.dataset import dataset_app  # isort: skip
from mirror_sfm.cli.train import train  # isort: skip
from mirror_sfm.cli.demo import demo  # isort: skip

__all__ = ["dataset_app", "demo", "evaluate", "main", "match", "overlap", "pairs", "reconstruct", "train"]
