"""Priors help where they agree with the photos, and cannot harm where they do not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.priors import PRIORS, Circumstances, distances, earth_centred, prior_factor, read_circumstances

GPS, EXIF = 0x8825, 0x8769


def photo(path: Path, gps: dict | None = None, exif: dict | None = None) -> Path:
    tags = Image.Exif()
    if gps:
        tags.get_ifd(GPS).update(gps)
    if exif:
        tags.get_ifd(EXIF).update(exif)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path, exif=tags)
    return path


def at(latitude: float, longitude: float) -> dict:
    def parts(value: float) -> tuple[float, float, float]:
        minutes, seconds = divmod(round(abs(value) * 3600, 4), 60)
        return *map(float, divmod(minutes, 60)), seconds

    return {
        1: "N" if latitude >= 0 else "S",
        2: parts(latitude),
        3: "E" if longitude >= 0 else "W",
        4: parts(longitude),
    }


def pairs_of(count: int) -> Candidates:
    i, j = (index.astype(np.int32) for index in np.triu_indices(count, 1))
    return Candidates(count, i, j, np.zeros(len(i), np.float32))


def evidence_of(weight: np.ndarray) -> Evidence:
    rows = np.arange(len(weight))
    return Evidence(rows, weight.astype(np.float32), np.zeros((0, 2), np.int32), np.zeros(len(weight) + 1, np.int64))


def line(count: int, seed: int = 0) -> tuple[Candidates, Evidence, Circumstances]:
    """Photos every 10 m; those within 30 m match."""
    candidates = pairs_of(count)
    apart = 10.0 * (candidates.j - candidates.i)
    rng = np.random.default_rng(seed)
    weight = np.where(apart <= 30, rng.uniform(5, 200, len(apart)), rng.uniform(0, 3, len(apart)))
    positions = np.stack((10.0 * np.arange(count), np.zeros(count), np.zeros(count)), 1)
    where = Circumstances(
        positions, np.full((count, 2), np.nan), np.arange(count) * 2.0, np.zeros(count, int), np.arange(count)
    )
    return candidates, evidence_of(weight), where


def test_exif_of_all_hemispheres(tmp_path: Path) -> None:
    places = [(46.84, -91.99), (-33.86, 151.21), (30.17, 98.1), (-22.95, -43.21)]
    names = [f"{k}.jpg" for k in range(4)]
    paths = {name: photo(tmp_path / name, at(*place)) for name, place in zip(names, places, strict=True)}
    held = read_circumstances(names, paths)
    np.testing.assert_allclose(held.degrees, places, atol=1e-6)
    assert np.isnan(held.times).all()


@pytest.mark.parametrize(
    "gps",
    [
        None,
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},  # a receiver that has not found itself
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (10.0, 0.0, 0.0)},
    ],
)
def test_no_position(tmp_path: Path, gps: dict | None) -> None:
    held = read_circumstances(["a.jpg"], {"a.jpg": photo(tmp_path / "a.jpg", gps)})
    assert np.isnan(held.positions).all() and np.isnan(held.degrees).all()


def test_damaged_missing_and_unknown_files_have_no_position(tmp_path: Path) -> None:
    good = photo(tmp_path / "good.jpg", at(10, 10)).read_bytes()
    (tmp_path / "bad.jpg").write_bytes(good.replace(b"Exif", b"Exif", 1)[:40] + b"\xff" * 60 + good[100:])
    paths = {"bad.jpg": tmp_path / "bad.jpg", "gone.jpg": tmp_path / "gone.jpg"}
    assert np.isnan(read_circumstances(["bad.jpg", "gone.jpg", "other.jpg"], paths).positions).all()


def test_times_with_fractions_and_zones(tmp_path: Path) -> None:
    tags = [
        {0x9003: "2020:01:01 12:00:00"},
        {0x9003: "2020:01:01 12:00:00", 0x9291: "25"},
        {0x9003: "2020:01:01 12:00:00", 0x9011: "+02:00"},
        {0x9003: "    :  :     :  :  "},
    ]
    names = [f"{k}.jpg" for k in range(4)]
    paths = {name: photo(tmp_path / name, exif=tag) for name, tag in zip(names, tags, strict=True)}
    times = read_circumstances(names, paths).times
    assert (times[:3] - times[0]).tolist() == [0, 0.25, -7200] and np.isnan(times[3])


def test_metres_between_degrees() -> None:
    """One degree of latitude near the pole is longer than at the equator; both are known to the metre."""
    equator = earth_centred(np.array([[0, 0], [0, 1], [1, 0.0]]))
    assert np.linalg.norm(equator[1] - equator[0]) == pytest.approx(111_318, abs=2)
    assert np.linalg.norm(equator[2] - equator[0]) == pytest.approx(110_574, abs=2)


def test_file_order_counts_digits_as_numbers_and_stays_in_its_folder() -> None:
    names = ["a/img10.jpg", "a/img2.jpg", "a/img1.jpg", "b/img1.jpg"]
    held = read_circumstances(names, {})
    apart = distances(held, "order", pairs_of(4))
    np.testing.assert_array_equal(apart, [1, 2, np.nan, 1, np.nan, np.nan])


@pytest.mark.parametrize("header", ["name,latitude,longitude", "Image, LAT ,Lng", "\ufefffilename,lon,lat"])
def test_table_of_degrees(tmp_path: Path, header: str) -> None:
    flipped = "lon,lat" in header
    rows = "b.jpg,{},{}\nc.jpg,,\n".format(*((20, 10) if flipped else (10, 20)))
    (tmp_path / "gps.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    held = read_circumstances(["a.jpg", "b.jpg", "c.jpg"], {}, tmp_path / "gps.csv")
    assert held.degrees[1].tolist() == [10, 20] and np.isnan(held.degrees[[0, 2]]).all()


def test_table_of_metres_replaces_exif(tmp_path: Path) -> None:
    paths = {"a.jpg": photo(tmp_path / "a.jpg", at(10, 10))}
    (tmp_path / "xy.csv").write_text("x,y,name\n0,0,a.jpg\n3,4,b.jpg\n")
    held = read_circumstances(["a.jpg", "b.jpg"], paths, tmp_path / "xy.csv")
    assert distances(held, "gps", pairs_of(2)).tolist() == [5] and np.isnan(held.degrees).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns name"),
        ("name,latitude\na.jpg,1\n", "expected the columns name"),
        ("name,latitude,longitude\na.jpg,1\n", "line 2: expected 3 values, got 2"),
        ("name,latitude,longitude\na.jpg,north,1\n", "line 2: expected two numbers"),
        ("name,latitude,longitude\na.jpg,nan,1\n", "line 2: expected two numbers"),
        ("name,latitude,longitude\na.jpg,1,\n", "line 2: expected two numbers"),
        ("name,latitude,longitude\na.jpg,95,1\n", "latitude within 90"),
        ("name,latitude,longitude\nz.jpg,5,1\n", "none of its names is a photo of this collection, such as a.jpg"),
        ('name,latitude,longitude\n"a.jpg,5,1\n', "not a table"),
    ],
)
def test_bad_tables_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "gps.csv").write_text(text)
    with pytest.raises(MirrorError, match=message) as error:
        read_circumstances(["a.jpg"], {}, tmp_path / "gps.csv")
    assert "\n" not in str(error.value) and "gps.csv" in str(error.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_circumstances(["a.jpg"], {}, tmp_path / "gps.csv")


def test_unknown_prior() -> None:
    with pytest.raises(UsageError, match="prior must be one of gps, time, order, got weather"):
        distances(line(3)[2], "weather", pairs_of(3))


@pytest.mark.parametrize("prior", PRIORS)
def test_far_pairs_without_proof_lose(prior: str) -> None:
    candidates, evidence, where = line(20)
    factor = prior_factor(candidates, evidence, distances(where, prior, candidates))
    steps = candidates.j - candidates.i
    assert ((factor > 0) & (factor <= 1)).all()
    assert factor[steps > 3].max() < 0.7 and factor[steps == 1].min() > 0.95


def test_a_proven_pair_is_left_alone_whatever_the_distance() -> None:
    candidates, evidence, where = line(20)
    proven = len(candidates) // 2
    evidence.weight[proven] = 500
    far = dataclasses.replace(where, positions=where.positions.copy())
    far.positions[candidates.i[proven]] += 5000
    assert prior_factor(candidates, evidence, distances(far, "gps", candidates))[proven] > 0.999


def test_wrong_positions_change_nothing() -> None:
    candidates, evidence, where = line(40)
    wrong = dataclasses.replace(where, positions=np.random.default_rng(3).permutation(where.positions))
    factor = prior_factor(candidates, evidence, distances(wrong, "gps", candidates))
    assert factor.min() > 0.97


def test_photos_without_a_position_lose_nothing() -> None:
    candidates, evidence, where = line(20)
    where.positions[5] = np.nan
    factor = prior_factor(candidates, evidence, distances(where, "gps", candidates))
    own = (candidates.i == 5) | (candidates.j == 5)
    assert (factor[own] == 1).all() and factor.min() < 0.7


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_photos_and_no_evidence(count: int) -> None:
    candidates = pairs_of(count)
    for evidence in (evidence_of(np.zeros(len(candidates))), evidence_of(np.full(len(candidates), 9.0))):
        apart = np.arange(len(candidates), dtype=float)
        assert (prior_factor(candidates, evidence, apart) <= 1).all()
    nothing = Evidence(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
    )
    assert (prior_factor(candidates, nothing, apart) == 1).all()


def test_real_positions(data: Path) -> None:
    """The camera's clock and the satellites' agree on which photos are neighbours: 75 photos, a flight of stripes."""
    folder = data / "scenes" / "drone_caliterra" / "images"
    paths = {path.name: path for path in sorted(folder.iterdir())}
    held = read_circumstances(list(paths), paths)
    assert np.isfinite(held.positions).all() and np.isfinite(held.times).all()
    candidates = pairs_of(len(paths))
    next_to = candidates.j - candidates.i == 1
    metres, seconds = distances(held, "gps", candidates), distances(held, "time", candidates)
    assert np.median(metres[next_to]) < 0.3 * np.median(metres) and np.median(seconds[next_to]) < 20
    assert metres.max() < 1000
