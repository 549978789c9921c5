"""One page that shows what was found: the graph, the matrix, every photo with its pairs."""

from mirror_sfm.report.page import write_report

__all__ = ["write_report"]
