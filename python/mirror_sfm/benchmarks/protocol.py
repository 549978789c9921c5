"""What every retrieval benchmark is: photos, queries with positives and junk, and the average precision of rankings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import average_precision
from mirror_sfm.photos import shown

Box = tuple[float, float, float, float]
DENOMINATORS = ("all", "min_k")


@dataclass(frozen=True)
class Query:
    """One query. Rows are those of `Benchmark.photos`.

    Attributes:
        name: of the photo.
        positives: rows to be found.
        junk: rows that take no place in a list; the query itself, where the protocol removes it.
        box: x1, y1, x2, y2 in pixels of the photo: what is looked for in it. None: all of it.
    """

    name: str
    positives: frozenset[int]
    junk: frozenset[int] = frozenset()
    box: Box | None = None


@dataclass(frozen=True)
class Benchmark:
    """A protocol's ground truth.

    Attributes:
        name: for tables.
        photos: [N] names of the database. A photo that cannot be used stays among them: it is never found.
        queries: [Q].
    """

    name: str
    photos: tuple[str, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class ListOptions:
    """How a list becomes a number. The defaults with k are the published mAP@k.

    Attributes:
        k: lists are cut to so many; None: they are not.
        drop_self_first: junk and the query leave before the cut, so that k results remain; else after it, and fewer do.
        denominator: "all" positives, so that a list of k cannot reach 1 where there are more; or "min_k", of which only
            k count.
        precision_at: of the first n, for every n here: hits among them / min(n, place of the last hit), as the
            revisited benchmarks have it.
    """

    k: int | None = None
    drop_self_first: bool = False
    denominator: str = "all"
    precision_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise UsageError(f"k: expected at least 1, got {self.k}")
        if self.denominator not in DENOMINATORS:
            raise UsageError(f"denominator: expected one of {', '.join(DENOMINATORS)}, got {self.denominator!r}")
        if self.k is None and (self.drop_self_first or self.denominator == "min_k"):
            raise UsageError("drop_self_first and denominator='min_k' are about lists that are cut: give k")
        if any(n < 1 for n in self.precision_at):
            raise UsageError(f"precision_at: expected numbers from 1 on, got {self.precision_at}")

    @property
    def label(self) -> str:
        """Name of the measure; what departs from the published definition is part of it."""
        if self.k is None:
            return "mAP"
        departures = [
            *(["query dropped before the cut"] if self.drop_self_first else []),
            *([f"over min({self.k}, positives)"] if self.denominator == "min_k" else []),
        ]
        return f"mAP@{self.k}" + (f" ({', '.join(departures)})" if departures else "")


@dataclass(frozen=True)
class Result:
    """Quality of rankings.

    Attributes:
        benchmark: its name.
        metric: what `mean_average_precision` is: `ListOptions.label`.
        mean_average_precision: mean over the queries that have a positive; NaN without any.
        average_precision: [Q] float64, NaN for queries without a positive.
        precision_at: mean over the same queries, by n.
    """

    benchmark: str
    metric: str
    mean_average_precision: float
    average_precision: NDArray[np.float64]
    precision_at: dict[int, float]


def ranking(scores: ArrayLike) -> NDArray[np.int64]:
    """Rows by falling score, ties by lowest row. Rows of score -inf are not in the list.

    Args:
        scores: [N] real numbers.

    Raises:
        UsageError: of another shape, or NaN.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise UsageError(f"scores: expected [N] numbers without NaN, got shape {list(values.shape)}")
    order = np.argsort(-values, kind="stable")
    return order[values[order] > -np.inf]


def rankings(benchmark: Benchmark, score: Callable[[int], ArrayLike]) -> Iterator[NDArray[np.int64]]:
    """Rankings of all queries, made one at a time.

    Args:
        score: number of a query -> [N] scores of the photos, -inf where there is none.
    """
    for query in range(len(benchmark.queries)):
        scores = np.asarray(score(query))
        if scores.shape != (len(benchmark.photos),):
            expected = len(benchmark.photos)
            raise UsageError(f"query {query}: expected {expected} scores, one per photo, got {list(scores.shape)}")
        yield ranking(scores)


def measure(
    benchmark: Benchmark, lists: Sequence[ArrayLike] | Iterator[ArrayLike], options: ListOptions | None = None
) -> Result:
    """Mean average precision, by trapezoids from (recall 0, precision 1) (`evaluation.average_precision`).

    Args:
        lists: for every query rows of photos, best first. They may be short: what is not listed is not found.

    Raises:
        UsageError: not a list for every query.
        MirrorError: a list names a photo twice or one that is not there.
    """
    options = options or ListOptions()
    values, precisions, count = [], [], 0
    for count, ranked in enumerate(lists, 1):
        if count > len(benchmark.queries):
            break
        query = benchmark.queries[count - 1]
        result = _kept(query, _checked(benchmark, count - 1, ranked), options)
        values.append(_average_precision(query, result, options))
        hits = np.flatnonzero(_among(result, query.positives)) + 1
        precisions.append([_precision(hits, n) if query.positives else np.nan for n in options.precision_at])
    if count != len(benchmark.queries):
        raise UsageError(f"{benchmark.name}: expected {len(benchmark.queries)} lists, one per query, got {count}")
    counted = np.array([bool(query.positives) for query in benchmark.queries], bool)
    aps = np.array(values, np.float64)
    table = np.array(precisions, np.float64).reshape(len(counted), len(options.precision_at))[counted]
    return Result(
        benchmark=benchmark.name,
        metric=options.label,
        mean_average_precision=float(aps[counted].mean()) if counted.any() else float("nan"),
        average_precision=aps,
        precision_at={
            n: float(column.mean()) if counted.any() else float("nan")
            for n, column in zip(options.precision_at, table.T, strict=True)
        },
    )


def _checked(benchmark: Benchmark, query: int, ranked: ArrayLike) -> NDArray[np.int64]:
    given = np.asarray(ranked)
    where = f"{benchmark.name}, list of query {query} ({shown(benchmark.queries[query].name)})"
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise MirrorError(f"{where}: expected whole numbers [K], got {given.dtype} {list(given.shape)}")
    rows = given.astype(np.int64)
    outside = rows[(rows < 0) | (rows >= len(benchmark.photos))]
    if len(outside):
        raise MirrorError(f"{where}: expected rows of {len(benchmark.photos)} photos, found {outside[0]}")
    times = np.bincount(rows, minlength=1)
    if times.max() > 1:
        twice = int(np.argmax(times > 1))
        raise MirrorError(f"{where}: photo {twice} ({shown(benchmark.photos[twice])}) is there twice")
    return rows


def _kept(query: Query, ranked: NDArray[np.int64], options: ListOptions) -> NDArray[np.int64]:
    """The list as it counts: cut, without junk."""
    if not options.drop_self_first:
        ranked = ranked[: options.k]
    ranked = ranked[~_among(ranked, query.junk)]
    return ranked[: options.k]


def _among(ranked: NDArray[np.int64], rows: frozenset[int]) -> NDArray[np.bool_]:
    """[K] which entries are one of the rows."""
    return np.isin(ranked, np.fromiter(rows, np.int64, len(rows)), kind="table")


def _average_precision(query: Query, ranked: NDArray[np.int64], options: ListOptions) -> float:
    if not query.positives:
        return float("nan")
    last = np.flatnonzero(_among(ranked, query.positives))[-1:]  # what follows adds nothing
    value = average_precision(ranked[: int(last[0]) + 1 if len(last) else 0].tolist(), query.positives)
    if options.denominator == "min_k" and options.k is not None:
        value *= len(query.positives) / min(options.k, len(query.positives))
    return value


def _precision(hits: NDArray[np.int64], n: int) -> float:
    """Of the first n, n at most the place of the last hit. `hits`: places from 1 on."""
    return float((hits <= n).sum() / min(n, hits[-1])) if len(hits) else 0.0
