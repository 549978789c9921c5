"""PCA-whitening: directions that many regions share lose weight, so that what is special about a region decides.

    y = L2( Lambda_d^(-1/2) U_d^T (x - mu) )        x: L2-normalised; covariance = U Lambda U^T, divided by n - 1

Jegou, Chum, *Negative Evidences and Co-occurrences in Image Retrieval*, ECCV 2012. Fitted on many independent photos
that is right. Fitted on the collection itself it is not: there the strongest directions are what its photos differ by,
the smallest eigenvalues are noise, and ranks get worse (docs/descriptors.md has the numbers). Hence shrinkage rho:

    Lambda <- (1 - rho) Lambda + rho t,  t = trace(Lambda) / C
    mu     <- (1 - sqrt(rho t / (rho t + (1 - rho) |mu|^2))) mu

0 is PCA-whitening, 1 changes no similarity. The covariance is the posterior mean under a prior of identity covariance
worth some number of photos (Haff, *Empirical Bayes Estimation of the Multivariate Normal Covariance Matrix*, Annals of
Statistics 1980); "auto" counts photos, not regions, against 20,000 of the prior. The mean is kept as far as a direction
of variance |mu|^2 would be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.descriptors.arguments import expect_count, expect_finite, expect_shape, fail
from mirror_sfm.descriptors.covariance import BLOCK, Moments
from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

PRIOR_PHOTOS = 20_000  # what the prior of "auto" is worth
SMALLEST = 1e-9  # eigenvalues are at least this share of the largest
TINY = 1e-12  # norms are at least this: a zero vector stays zero

Array = TypeVar("Array")  # a NumPy array or a torch tensor


def unit(vectors: Array) -> Array:
    """v / max(|v|, 1e-12) along the last dimension; array or tensor, its type kept."""
    if isinstance(vectors, np.ndarray):
        return vectors / np.maximum(np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)), TINY)
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(TINY)  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class Whitening:
    """y = L2(projection (L2(x) - mean)): what every whitening is once it is fitted."""

    mean: NDArray[np.float64]  # [C] what is subtracted
    projection: NDArray[np.float64]  # [d, C]

    def apply(self, vectors: Array) -> Array:
        """Whitens vectors [..., C] -> unit vectors [..., d] of the same kind, type and device; differentiable in torch.

        Arrays are computed in float64; float16 and bfloat16 tensors in float32.

        Raises:
            ValueError: vectors of another length than those it was fitted on.
        """
        shape = tuple(vectors.shape)  # type: ignore[attr-defined]
        if not shape or shape[-1] != len(self.mean):
            fail("whitening", "vectors", f"[..., {len(self.mean)}]", list(shape))
        if isinstance(vectors, np.ndarray):
            centred = unit(vectors.astype(np.float64)) - self.mean
            return unit(centred @ self.projection.T).astype(np.result_type(vectors.dtype, np.float32))
        x: Any = vectors
        working = x.float() if x.element_size() < 4 else x
        mean, projection = (working.new_tensor(part) for part in (self.mean, self.projection))
        return unit((unit(working) - mean) @ projection.T).to(x.dtype)

    def save(self, path: str | Path) -> None:
        """Writes an .npz file that `load` reads."""
        with open(path, "wb") as file:
            np.savez(file, kind=type(self).__name__, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> Whitening:
        """Reads what `save` wrote.

        Raises:
            MirrorError: no such file, or not a whitening of this kind.
        """
        file = shown(str(path))
        try:
            with np.load(path, allow_pickle=False) as opened:
                parts = {name: opened[name] for name in opened.files}
        except OSError as error:
            raise MirrorError(f"{file}: cannot read the whitening: {error.strerror or 'damaged file'}") from error
        except Exception as error:  # damaged bytes raise nearly anything in zipfile and NumPy; the cause stays attached
            raise MirrorError(f"{file}: damaged, or no whitening: fit and save it again") from error
        if str(parts.pop("kind", None)) != cls.__name__ or parts.keys() != cls.__dataclass_fields__.keys():
            raise MirrorError(f"{file}: holds no {cls.__name__}: fit and save it again")
        for name, part in parts.items():
            if part.dtype.kind not in "fi" or not np.isfinite(part).all():
                raise MirrorError(f"{file}: {name} has values that are not finite numbers: fit and save it again")
        mean, projection = parts["mean"], parts["projection"]
        if mean.ndim != 1 or projection.ndim != 2 or projection.shape[1] != len(mean):
            raise MirrorError(f"{file}: mean and projection do not fit together: fit and save it again")
        return cls(**{name: part if part.ndim else part.item() for name, part in parts.items()})


@dataclass(frozen=True, eq=False)
class PcaWhitening(Whitening):
    """PCA-whitening; `projection` = components / sqrt(eigenvalues)."""

    components: NDArray[np.float64]  # [d, C] unit rows, most variance first; largest entry of each is positive
    eigenvalues: NDArray[np.float64]  # [d], after shrinkage and clamping
    shrinkage: float  # share of the identity, 0..1
    photos: int  # independent samples it was fitted on

    @classmethod
    def fit(
        cls,
        vectors: NDArray[Any] | Iterable[NDArray[Any]],
        dim: int | None = None,
        shrinkage: float | Literal["auto"] = "auto",
    ) -> PcaWhitening:
        """Fits on vectors of any scale; each is L2-normalised first, zero vectors are left out.

        Args:
            vectors: [M, C], every row an independent sample; or [N, R, C], R regions of each of N photos, which count
                as N samples for the shrinkage; or an iterable of such blocks, read once. The result does not depend
                on their order or division.
            dim: vectors are reduced to this many; None: as many as they have. Directions that the samples do not span
                are left out, so the result may be shorter; none is, with dim=None and shrinkage > 0.
            shrinkage: share of the identity: 0 for PCA-whitening, as published; 1 changes no similarity; "auto":
                20,000 / (20,000 + photos), right for vectors of the collection that is searched.

        Raises:
            ValueError: fewer than two vectors, all the same, NaN, or a wrong shape.
        """
        if dim is not None:
            expect_count("PcaWhitening", "dim", dim)
        if shrinkage != "auto" and (isinstance(shrinkage, str) or not 0 <= shrinkage <= 1):
            fail("PcaWhitening", "shrinkage", '"auto" or 0..1', shrinkage)
        moments, photos = _moments(vectors)
        if moments is None or moments.rows < 2:
            fail("PcaWhitening", "vectors", "at least 2 that are not zero", 0 if moments is None else moments.rows)
        eigenvalues, directions = eigen(moments.covariance())
        rank = int((eigenvalues > SMALLEST * eigenvalues[0]).sum())
        if eigenvalues[0] < TINY:
            fail("PcaWhitening", "vectors", "vectors that differ", "the same vector again and again")
        rho = PRIOR_PHOTOS / (PRIOR_PHOTOS + photos) if shrinkage == "auto" else float(shrinkage)
        level = rho * eigenvalues.mean()
        shrunk = (1 - rho) * eigenvalues + level
        kept = rank if dim is not None or rho == 0 else len(eigenvalues)
        kept = min(kept, dim or kept)
        shrunk = np.maximum(shrunk, SMALLEST * shrunk[0])[:kept]
        components = np.ascontiguousarray(directions[:, :kept].T)
        projection = components / np.sqrt(shrunk)[:, None]
        mean = moments.mean()
        kept_of_mean = np.sqrt(level / (level + (1 - rho) * (mean @ mean))) if rho else 0.0
        return cls((1 - kept_of_mean) * mean, projection, components, shrunk, rho, photos)


def _moments(vectors: NDArray[Any] | Iterable[NDArray[Any]]) -> tuple[Moments | None, int]:
    moments, photos = None, 0
    for block in [vectors] if hasattr(vectors, "shape") else vectors:
        block = np.asarray(block)
        if block.ndim not in (2, 3):
            fail("PcaWhitening", "vectors", "[M, C] or [N, R, C], or blocks of them", list(block.shape))
        channels = block.shape[-1]
        if moments is None:
            moments = Moments(channels)
        expect_shape("PcaWhitening", "vectors", block.reshape(-1, channels), "M", moments.channels)
        photos += len(block)
        rows = block.reshape(-1, channels)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK].astype(np.float64)
            expect_finite("PcaWhitening", "vectors", part)
            moments.add(unit(part[part.any(axis=1)]))
    return moments, photos


def eigen(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues [C], largest first, none below zero, and eigenvectors [C, C] as columns with a definite sign."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(len(values))] < 0, -1.0, 1.0)
    return values, vectors * signs
