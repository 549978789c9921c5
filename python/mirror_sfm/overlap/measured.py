"""Overlap of the photos of one scene, in every measure the scene allows, and the labels that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mirror_sfm.errors import UsageError

AVERAGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "geometric": lambda a, b: np.sqrt(a * b),
    "arithmetic": lambda a, b: (a + b) / 2,
    "min": np.minimum,
    "max": np.maximum,
}
MEASURES = ("tracks", "triangles", "areas", "pixels")
NONE, WEAK, STRONG = 0, 1, 2  # labels
MASK_SIDE = 56  # lcm of 7, 14, 28 and 56: every training grid is a block mean of the stored one


@dataclass(frozen=True)
class LabelOptions:
    """How overlap becomes labels (paper, Eqs. 2-4).

    Attributes:
        t_sfm: pairs with a common-track ratio of at least this count as overlapping wholly.
        strong, weak: closed intervals of combined overlap.
        average: of the two directions.
        weight: of the surface: "triangles" (each counts once), "areas" or "pixels".

    Raises:
        UsageError: one of them is out of range, or a pair could be both weak and strong.
    """

    t_sfm: float = 0.2
    strong: tuple[float, float] = (0.5, 1.0)
    weak: tuple[float, float] = (0.05, 0.2)
    average: str = "geometric"
    weight: str = "triangles"

    def __post_init__(self) -> None:
        if not self.t_sfm >= 0:
            raise UsageError(f"t_sfm: expected a number of at least 0, got {self.t_sfm}")
        for name, (low, high) in (("strong", self.strong), ("weak", self.weak)):
            if not 0 <= low <= high <= 1:
                raise UsageError(f"{name}: expected two numbers from 0 to 1, low and high, got {low} and {high}")
        if self.weak[1] > self.strong[0]:
            raise UsageError(
                f"a pair of {self.weak[1]} would be weak, one of {self.strong[0]} strong: weak must end below"
            )
        if self.average not in AVERAGES:
            raise UsageError(f"average: expected one of {', '.join(AVERAGES)}, got {self.average!r}")
        if self.weight not in MEASURES[1:]:
            raise UsageError(f"weight: expected one of {', '.join(MEASURES[1:])}, got {self.weight!r}")


@dataclass(frozen=True)
class Overlap:
    """Overlap of N photos. Pairs that are not listed share nothing: every measure of theirs is 0.

    A half (i -> j) is the share of what i sees that j sees too; of a photo that sees nothing it is 0.

    Attributes:
        names: of the N photos, sorted; photos without a pose are among them and see nothing.
        pairs: [P, 2] int32 rows of names, i < j, sorted.
        halves: by measure of MEASURES, [P, 2] float64 (i -> j, j -> i); measures the scene does not allow are absent.
        seen: by measure, [N] float64: tracks, triangles, area (square units of the world), pixels that each photo sees;
            inf where only its halves are known: at least something.
        masks: [P, 2, 56, 56] uint8 coverage (255 = the whole cell): on i's photo what j sees too, and the reverse;
            all 0 where no mask was asked for; None without surface and depth.
        covered: [N, 56, 56] uint8 coverage of each photo by any surface at all; None without surface and depth.
        surface: what the surface was: "mesh", "sparse points", "depth", or "" without.
    """

    names: tuple[str, ...]
    pairs: np.ndarray
    halves: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]
    masks: np.ndarray | None = None
    covered: np.ndarray | None = None
    surface: str = ""

    def averaged(self, measure: str, average: str = "geometric") -> np.ndarray:
        """[P] one value per pair: common-track ratio (2) or mesh overlap (3)."""
        return AVERAGES[average](*self.halves[measure].T)

    def combined(self, options: LabelOptions | None = None) -> np.ndarray:
        """[P] combined overlap (4): 1 where the common-track ratio reaches t_sfm, else mesh overlap.

        Without a surface it is the common-track ratio; without tracks, the mesh overlap.
        """
        options = options or LabelOptions()
        tracks = self.averaged("tracks", options.average) if "tracks" in self.halves else np.zeros(len(self.pairs))
        weight = options.weight if options.weight in self.halves else "pixels"  # depth maps know no triangles
        surface = self.averaged(weight, options.average) if weight in self.halves else tracks
        return np.where(tracks >= options.t_sfm, 1.0, surface)

    def labels(self, options: LabelOptions | None = None) -> np.ndarray:
        """[P] uint8: STRONG, WEAK or NONE."""
        options = options or LabelOptions()
        overlap = self.combined(options)
        labels = np.full(len(overlap), NONE, np.uint8)
        for label, (low, high) in ((WEAK, options.weak), (STRONG, options.strong)):
            labels[(overlap >= low) & (overlap <= high)] = label
        return labels

    def matrix(self, measure: str) -> np.ndarray:
        """[N, N] float64 halves, row i -> column j; 1 on the diagonal of photos that see something."""
        full = np.diag((self.seen[measure] > 0).astype(np.float64))
        i, j = self.pairs.T
        full[i, j], full[j, i] = self.halves[measure].T
        return full

    def without_masks(self) -> Overlap:
        """The same, lighter."""
        return replace(self, masks=None, covered=None)
