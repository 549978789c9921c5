"""What the report says in words: how well the photos hang together, where the graph is weak, what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.budget import expected_recall
from mirror_sfm.graph import REASONS, components
from mirror_sfm.photos import shown
from mirror_sfm.view_graph import ViewGraph

LIKELY = 0.5  # a pair is likely from this probability on


@dataclass(frozen=True)
class Findings:
    """Facts about a view graph of N photos.

    Attributes:
        part: [N] number of each photo's part; 0 is the largest.
        part_sizes: photos of each part.
        partners: [N] chosen pairs of each photo.
        expected: [N] how many of those can be expected to match: the sum of their probabilities.
        cuts: rows of `chosen`, rising: pairs without which a part falls in two.
        likely_parts: parts that remain when only likely pairs match, single photos included.
        unsure: rows of `chosen`, rising: pairs of the spanning tree that join those, none of them likely.
        recall: expected share of the matchable pairs that were chosen.
    """

    part: NDArray[np.int64]
    part_sizes: NDArray[np.int64]
    partners: NDArray[np.int64]
    expected: NDArray[np.float64]
    cuts: NDArray[np.int64]
    likely_parts: int
    unsure: NDArray[np.int64]
    recall: float

    @property
    def alone(self) -> NDArray[np.int64]:
        """Photos without a pair."""
        return np.flatnonzero(self.partners == 0)

    @property
    def weak(self) -> NDArray[np.int64]:
        """Photos with pairs, of which not even one can be expected to match."""
        return np.flatnonzero((self.partners > 0) & (self.expected < 1))

    @property
    def weak_joints(self) -> NDArray[np.int64]:
        """Rows of `chosen`, rising: pairs that alone hold a part together, or alone join likely parts."""
        return np.union1d(self.cuts, self.unsure)

    @property
    def parts(self) -> int:
        """Parts of at least two photos."""
        return int((self.part_sizes > 1).sum())

    def attention(self) -> list[int]:
        """Photos by how much they need to be looked at: those without pairs, then by expected matches."""
        return np.lexsort((np.arange(len(self.part)), self.expected, self.partners > 0)).tolist()


def find(graph: ViewGraph) -> Findings:
    """Looks a view graph over."""
    photos = len(graph.names)
    i, j = graph.candidates.i[graph.chosen], graph.candidates.j[graph.chosen]
    chosen = graph.probabilities[graph.chosen].astype(np.float64)
    part = _numbered(graph.components)
    ends = np.concatenate((i, j))
    likely = chosen >= LIKELY
    likely_part = components(photos, i[likely], j[likely])
    joins = (graph.reasons == REASONS.index("bridge")) & (likely_part[i] != likely_part[j])
    return Findings(
        part=part,
        part_sizes=np.bincount(part, minlength=1)[: part.max(initial=-1) + 1],
        partners=np.bincount(ends, minlength=photos),
        expected=np.bincount(ends, np.tile(chosen, 2), photos).astype(np.float64),
        cuts=cut_pairs(photos, i, j),
        likely_parts=len(np.unique(likely_part)),
        unsure=np.flatnonzero(joins),
        recall=expected_recall(graph.probabilities, graph.chosen),
    )


def _numbered(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Components [N] numbered by size, largest first; ties: the one of the first photo."""
    _, first, part, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    number = np.empty(len(sizes), np.int64)
    number[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return number[part.reshape(-1)]


def cut_pairs(photos: int, i: NDArray[np.integer], j: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows of the pairs (i, j), each given once, without which their component falls in two; rising.

    Every pair outside a spanning forest gets a random label and gives it to the path of the forest between its two
    photos; a pair of the forest nobody gave a label to has no detour (64 bits: chance does not matter).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    pairs = len(i)
    rows = np.arange(1, pairs + 1, dtype=np.float64)
    forest = minimum_spanning_tree(csr_array((rows, (i, j)), shape=(photos, photos)))
    inside = forest.data.astype(np.int64) - 1
    labels = np.random.default_rng(0).integers(1, 2**63, pairs, np.uint64)
    labels[inside] = 0
    carried = np.zeros(photos, np.uint64)
    np.bitwise_xor.at(carried, i, labels)
    np.bitwise_xor.at(carried, j, labels)
    row_above = np.full(photos, -1)  # the pair that leads towards the root
    seen = np.zeros(photos, bool)
    row_of = {}
    for row in inside.tolist():
        row_of[int(i[row]), int(j[row])] = row_of[int(j[row]), int(i[row])] = row
    for root in range(photos):
        if seen[root]:
            continue
        visited, above = breadth_first_order(forest, root, directed=False)
        seen[visited] = True
        for photo in visited[:0:-1].tolist():
            parent = int(above[photo])
            row_above[photo] = row_of[photo, parent]
            carried[parent] ^= carried[photo]
    return np.sort(row_above[(row_above >= 0) & (carried == 0)])


@dataclass(frozen=True)
class Advice:
    """One thing to know or to do, with the photos or the pairs (of photos) it is about."""

    title: str
    text: str
    photos: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Command:
    """Lines for a shell, and what they do."""

    title: str
    lines: tuple[str, ...]


def summary(graph: ViewGraph, findings: Findings) -> str:
    """The result in two or three sentences."""
    photos, pairs = len(graph.names), len(graph.chosen)
    if not photos:
        return f"None of the {_many(graph.photos, 'photo')} can be used; the reasons are below."
    used = f"All {photos:,} photos" if photos == graph.photos else f"{photos:,} of {_many(graph.photos, 'photo')}"
    if photos == 1:
        return "A single photo can be used: there is nothing to pair it with."
    every = photos * (photos - 1) // 2
    share = 100 * pairs / every
    found = f"{used} can be used, and {_many(pairs, 'pair')} of them {'is' if pairs == 1 else 'are'} worth matching"
    first = f"{found}: {share:.{1 if share < 10 else 0}f}\u00a0% of the {every:,} possible."
    alone, parts = len(findings.alone), findings.parts
    if parts == 1:
        middle = f"They hold all {'other ' if alone else ''}photos together in one part."
        middle += f" {_many(alone, 'photo')} found no partner." if alone else ""
    else:
        middle = f"The photos fall into {_many(parts, 'part')} that nothing joins" if parts else "No two photos match"
        middle += f", and {_many(alone, 'photo')} found no partner." if alone and parts else "."
    recall = f"Of all pairs that can be matched, about {_percent(findings.recall)} should be among them."
    return f"{first} {middle} {recall}"


def advice(graph: ViewGraph, findings: Findings) -> list[Advice]:
    """What deserves a look before matching, gravest first; empty when nothing does."""
    found: list[Advice] = []
    alone, weak = findings.alone.tolist(), findings.weak.tolist()
    if findings.parts > 1:
        first = tuple(int(np.flatnonzero(findings.part == part)[0]) for part in range(findings.parts))
        text = (
            "Each part becomes a model of its own. To join them, add photos that see both, or choose more pairs "
            "(a larger --per-image). The first photo of each part:"
        )
        found.append(Advice(f"{findings.parts} parts", text, first))
    if alone:
        text = (
            "No pair was chosen for them. Add photos taken between them and their neighbours, or leave them out; "
            "their nearest neighbours are in their cards."
        )
        found.append(Advice(f"{_many(len(alone), 'isolated photo')}", text, tuple(alone)))
    if len(findings.cuts):
        text = (
            "Pairs that alone hold their part together: where one fails to match, the part falls in two. More photos "
            "there make it safe."
        )
        found.append(
            Advice(_many(len(findings.cuts), "single joint"), text, pairs=_least_probable(graph, findings.cuts))
        )
    if weak:
        text = "They have pairs, but not even one can be expected to match: they may stay out of the model."
        found.append(Advice(f"{_many(len(weak), 'weak photo')}", text, tuple(weak)))
    if len(findings.unsure):
        text = (
            f"With the likely pairs alone (probability {LIKELY} or more) the photos fall into "
            f"{findings.likely_parts} parts, single photos included. Unlikely pairs join them, if they match:"
        )
        found.append(
            Advice(_many(len(findings.unsure), "unsure joint"), text, pairs=_least_probable(graph, findings.unsure))
        )
    if findings.recall < 0.5 and len(graph.chosen) < len(graph.candidates):
        text = (
            f"About {_percent(1 - findings.recall)} of the pairs that can be matched did not fit into the budget. That "
            "is often what you want: photos with many neighbours do not need them all. A larger --per-image takes more."
        )
        found.append(Advice("Pairs left out", text))
    return found


def _least_probable(graph: ViewGraph, rows: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Photos of chosen pairs, the least probable first."""
    pairs = graph.chosen[rows]
    pairs = pairs[np.argsort(graph.probabilities[pairs], kind="stable")]
    return tuple(zip(graph.candidates.i[pairs].tolist(), graph.candidates.j[pairs].tolist(), strict=True))


def why_alone(graph: ViewGraph, findings: Findings) -> dict[int, str]:
    """A sentence for every photo without a pair."""
    sentences = {}
    for photo, alone in zip(findings.alone.tolist(), graph.isolated, strict=True):
        nearest = f" Its nearest neighbour is {shown(alone.neighbour)}." if alone.neighbour else ""
        sentences[photo] = f"Isolated: {alone.why}.{nearest}"
    return sentences


def commands(graph: ViewGraph, out: Path, listed: bool = True) -> list[Command]:
    """What to type next, with the paths of this run. `listed`: it has a pairs.txt, which most of them need."""
    pairs, database = _quoted(out / "pairs.txt"), _quoted(out / "project.db")
    images, sparse = _images(graph), _quoted(out / "sparse")
    whole = Command("Everything with one command", (f"mirror-sfm reconstruct {images} -o {_quoted(out)}",))
    if not listed:
        return [whole]
    return [
        whole,
        Command(
            "COLMAP",
            (
                f"colmap feature_extractor --database_path {database} --image_path {images}",
                f"mirror-sfm match --database {database} --pairs {pairs}",
                f"mkdir -p {sparse}",
                f"colmap mapper --database_path {database} --image_path {images} --output_path {sparse}",
            ),
        ),
        Command(
            "COLMAP, with its own matcher",
            (f"colmap matches_importer --database_path {database} --match_list_path {pairs} --match_type pairs",),
        ),
        Command(
            "hloc",
            (
                f"python -m hloc.extract_features --image_dir {images} --export_dir {_quoted(out)} "
                "--conf superpoint_aachen",
                f"python -m hloc.match_features --pairs {pairs} --export_dir {_quoted(out)} "
                "--features feats-superpoint-n4096-r1024 --conf superpoint+lightglue",
            ),
        ),
    ]


def _images(graph: ViewGraph) -> str:
    """The folder the names are relative to."""
    for name, path in graph.paths.items():
        if Path(path).as_posix().endswith(f"/{name}"):
            return _quoted(Path(Path(path).as_posix()[: -len(name)]))
    return "PHOTOS"


def _quoted(path: Path) -> str:
    return shlex.quote(shown(str(path)))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """A share in whole percent; never a rounded 0 or 100."""
    percent = round(100 * share)
    if percent == 100 and share < 1:
        return "more than 99\u00a0%"
    return "less than 1\u00a0%" if percent == 0 and share > 0 else f"{percent}\u00a0%"
