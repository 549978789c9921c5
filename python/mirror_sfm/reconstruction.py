"""Photos in, cameras and points out: features, pairs, matches, mapping. Each stage is done once.

photos -> database.db (SIFT by COLMAP) -> pairs -> matches and geometry -> sparse/0, sparse/1, ... -> summary.json
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirror_sfm import __version__
from mirror_sfm.cache import digest
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports import complete_file
from mirror_sfm.folder import find_photos
from mirror_sfm.matching import MatchOptions, match
from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.photos import Photo, Skipped, UnusablePhoto, read_file, shown
from mirror_sfm.sources import ColmapDatabase
from mirror_sfm.stages import Stages
from mirror_sfm.threads import parallel, processors

if TYPE_CHECKING:
    pass

MAPPERS = ("incremental", "global")
STAGES = ("features", "pairs", "match", "mapping")


@dataclass(frozen=True)
class ReconstructOptions:
    """What can be set.

    Attributes:
        pairs: which pairs to match; `threads` and `progress` in it are not read.
        max_ratio, exact: of matches, see `MatchOptions`.
        camera_sharing, camera_model: see `colmap.extraction.CameraOptions`.
        mapper: "incremental", or "global": faster where there are many photos, and more easily led astray.
        include, exclude, list_file: which photos of the folder, see `folder.find_photos`.
        threads: of all stages; None: every processor this process may use.
        mapping_threads: of the mapper; 1 gives the same models every time; None: as `threads`.
        progress: show progress bars on stderr.
    """

    pairs: PairOptions = field(default_factory=PairOptions)
    max_ratio: float = MatchOptions.max_ratio
    exact: bool = MatchOptions.exact
    camera_sharing: str = "auto"
    camera_model: str = "SIMPLE_RADIAL"
    mapper: str = "incremental"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    list_file: str | os.PathLike[str] | None = None
    threads: int | None = None
    mapping_threads: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if self.mapper not in MAPPERS:
            raise UsageError(f"mapper must be one of {', '.join(MAPPERS)}, got {shown(self.mapper)}")
        for name in ("threads", "mapping_threads"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"{name} must be at least 1, got {count}")


@dataclass(frozen=True)
class ReconstructedModel:
    """One of the models, with the columns in which reconstructions are compared.

    Attributes:
        folder: where it is.
        registered: names of its photos.
        points, observations: how many.
        track_length: observations per point.
        reprojection_error: mean, in pixels.
    """

    folder: Path
    registered: tuple[str, ...]
    points: int
    observations: int
    track_length: float
    reprojection_error: float


@dataclass(frozen=True)
class ReconstructionReport:
    """What came out.

    Attributes:
        photos: files in the folder.
        skipped: those that could not be used, with reasons.
        models: the one with most photos first; empty where nothing could be reconstructed.
        unregistered: photos that are in no model, though they have features.
        pairs, verified_pairs, matches, inliers: chosen for matching; of these, with a geometry; and their matches.
        seconds: wall time by stage, of the run that made it.
    """

    photos: int
    skipped: tuple[Skipped, ...]
    models: tuple[ReconstructedModel, ...]
    unregistered: tuple[str, ...]
    pairs: int
    verified_pairs: int
    matches: int
    inliers: int
    seconds: dict[str, float]


def reconstruct(
    photos: str | os.PathLike[str], out: str | os.PathLike[str], options: ReconstructOptions | None = None
) -> ReconstructionReport:
    """Reconstructs a folder of photos into `out`: database.db, sparse/0 and further models, summary.json.

    Run again, it goes on where it was stopped, and does again what depends on photos or options that changed. Photos
    that were added are added to the database; where one was changed or removed, the database is made anew.

    Raises:
        UsageError: the folder or an option is wrong.
        MirrorError: no photo can be used, COLMAP is not installed, or a file cannot be written.
    """
    options = options or ReconstructOptions()
    return _Run(Path(photos), Path(out), options).all_stages()


class _Run:
    """One call of `reconstruct`. Every key holds the key of the stage before."""

    def __init__(self, folder: Path, out: Path, options: ReconstructOptions) -> None:
        from mirror_sfm.colmap.extraction import CameraOptions

        self.folder, self.out, self.options = folder, out, options
        self.cameras = CameraOptions(options.camera_sharing, options.camera_model)
        self.threads = options.threads or processors()
        self.database = out / "database.db"
        self.stages = Stages(out / "stages.json")

    def all_stages(self) -> ReconstructionReport:
        options = self.options
        photos = find_photos(self.folder, options.include, options.exclude, options.list_file)
        if not photos:
            raise MirrorError(f"no photo in {shown(str(self.folder))}")
        self.out.mkdir(parents=True, exist_ok=True)

        key, skipped = self.features(photos)
        usable = len(photos) - len(skipped)
        key, pairs = self.pairs(key, usable)
        key, matched = self.match(key, pairs)
        models = self.map(key, usable)

        report = self.report(photos, skipped, matched, models)
        with complete_file(self.out / "summary.json") as file:
            file.write(summary_text(report, options).encode())
        return report

    def features(self, photos: list[Photo]) -> tuple[str, list[Skipped]]:
        """SIFT of every photo into the database, after what changed since the last run is out of the way."""
        from mirror_sfm.colmap.extraction import extract

        read = list(parallel(_digest_or_reason, photos, self.threads))
        files = {photo.name: found for photo, found in zip(photos, read, strict=True) if isinstance(found, str)}
        lost = [found for found in read if isinstance(found, Skipped)]
        kind = digest("features", 1, *dataclasses.astuple(self.cameras))
        before = self.stages.result("photos", kind)
        grown = before is not None and before.items() <= files.items()
        if not (grown and self.database.exists()):
            _remove_database(self.database)
        self.stages.keep("photos", kind, files)  # before the work: the database is made of these from now on

        def work() -> list[list[str]]:
            unread = extract(self.database, self.folder, list(files), self.cameras, self.threads, self.options.progress)
            return [[photo.name, photo.reason] for photo in unread]

        key = digest(kind, *(part for item in sorted(files.items()) for part in item))
        unread = self.stages.run("features", key, work, still_there=self.database.exists())
        return key, sorted((*lost, *(Skipped(*item) for item in unread)), key=lambda photo: photo.name)

    def pairs(self, features: str, photos: int) -> tuple[str, list[tuple[str, str]]]:
        """The pairs to match."""
        options = dataclasses.replace(
            self.options.pairs, any_name=True, threads=self.threads, progress=self.options.progress
        )
        without = dataclasses.asdict(options) | {"threads": None, "progress": None}
        files = [Path(file) for file in (options.gps, options.weights) if file is not None and Path(file).is_file()]
        read = [digest(file.read_bytes()) for file in files]
        key = digest(features, __version__, *(f"{name}={value}" for name, value in sorted(without.items())), *read)

        def work() -> list[list[str]]:
            if photos < 2:
                return []
            source = ColmapDatabase(self.database, self.folder)
            return [list(pair) for pair in find_pairs(source, options).pairs]

        return key, [(first, second) for first, second in self.stages.run("pairs", key, work)]

    def match(self, key: str, pairs: list[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
        """Matches and geometry of these pairs, and of no others, into the database."""
        from mirror_sfm.colmap.matches import open_matches

        kind = digest("match", 2, self.options.max_ratio, self.options.exact)
        if self.stages.result("matched how", kind) is None:
            with open_matches(self.database) as database:
                database.keep_only(set())
            self.stages.keep("matched how", kind, True)

        def work() -> dict[str, Any]:
            options = MatchOptions(
                max_ratio=self.options.max_ratio,
                exact=self.options.exact,
                threads=self.threads,
                progress=self.options.progress,
            )
            with open_matches(self.database) as database:
                ids = database.ids
                database.keep_only({(min(pair), max(pair)) for pair in ((ids[a], ids[b]) for a, b in pairs)})
            return dataclasses.asdict(match(self.database, pairs, options))

        key = digest(key, kind)
        return key, self.stages.run("match", key, work)

    def map(self, key: str, photos: int) -> list[dict[str, Any]]:
        """Models from the database into sparse/, all or none."""
        from mirror_sfm.colmap.mapping import map_photos

        sparse, partial = self.out / "sparse", self.out / "sparse.partial"

        def work() -> list[dict[str, Any]]:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            threads = self.options.mapping_threads or self.threads
            models = map_photos(
                self.database, self.folder, partial, self.options.mapper, threads, photos, self.options.progress
            )
            self.stages.forget("mapping")
            shutil.rmtree(sparse, ignore_errors=True)
            partial.rename(sparse)
            return [dataclasses.asdict(model) for model in models]

        key = digest(key, self.options.mapper)
        known = self.stages.result("mapping", key) or []
        there = sparse.is_dir() and all((sparse / model["folder"]).is_dir() for model in known)
        return list(self.stages.run("mapping", key, work, still_there=there))

    def report(
        self, photos: list[Photo], skipped: list[Skipped], matched: dict[str, Any], models: list[dict[str, Any]]
    ) -> ReconstructionReport:
        def found(model: dict[str, Any]) -> ReconstructedModel:
            places = {"folder": self.out / "sparse" / model["folder"], "registered": tuple(model["registered"])}
            return ReconstructedModel(**model | places)

        usable = {photo.name for photo in photos} - {photo.name for photo in skipped}
        return ReconstructionReport(
            photos=len(photos),
            skipped=tuple(skipped),
            models=tuple(found(model) for model in models),
            unregistered=tuple(sorted(usable.difference(*(model["registered"] for model in models)))),
            pairs=matched["pairs"],
            verified_pairs=matched["verified"],
            matches=matched["matches"],
            inliers=matched["inliers"],
            seconds={stage: self.stages.seconds(stage) for stage in STAGES},
        )


def why_no_model(report: ReconstructionReport) -> str:
    """What stood in the way, and what to try."""
    usable = report.photos - len(report.skipped)
    if usable < 2:
        return f"{usable} of {report.photos} photos can be used, a model needs two"
    if not report.verified_pairs:
        return (
            f"none of {report.pairs} pairs has matches that agree on a geometry: the photos do not overlap enough, or "
            "show too little texture. Take photos closer together, or try larger ones"
        )
    return (
        f"{report.verified_pairs} of {report.pairs} pairs have a geometry, but none is fit to begin with: too few "
        "matches, or photos from the same place. Try more pairs (--per-image 50), --global, or another camera model"
    )


def summary_text(report: ReconstructionReport, options: ReconstructOptions) -> str:
    """The report as JSON, sizes in photos, points and pixels, times in seconds."""
    models = [
        {
            "folder": f"sparse/{model.folder.name}",
            "registered": len(model.registered),
            "points": model.points,
            "observations": model.observations,
            "track_length": round(model.track_length, 4),
            "reprojection_error": round(model.reprojection_error, 4),
        }
        for model in report.models
    ]
    usable = report.photos - len(report.skipped)
    summary = {
        "version": __version__,
        "photos": report.photos,
        "usable": usable,
        "skipped": [{"name": shown(photo.name), "reason": photo.reason} for photo in report.skipped],
        "registered": usable - len(report.unregistered),
        "unregistered": [shown(name) for name in report.unregistered],
        "pairs": report.pairs,
        "pairs_possible": usable * (usable - 1) // 2,
        "verified_pairs": report.verified_pairs,
        "matches": report.matches,
        "inliers": report.inliers,
        "models": models,
        "mapper": options.mapper,
        "seconds": report.seconds,
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"


def _digest_or_reason(photo: Photo) -> str | Skipped:
    """What the file holds, as a digest, or why it cannot be read: COLMAP would wait for a pipe for ever."""
    if any("\ud800" <= character <= "\udfff" for character in photo.name):
        return Skipped(photo.name, "its name is not UTF-8; rename it")
    try:
        return hashlib.sha256(read_file(photo.path)).hexdigest()
    except UnusablePhoto as reason:
        return Skipped(photo.name, str(reason))


def _remove_database(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
