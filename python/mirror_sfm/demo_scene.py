"""A small scene with known cameras: what `mirror-sfm pairs` and the tests use when no photos are at hand.

A drone flies three strips over a village, then circles its church. Photos are rendered by tracing rays, with NumPy
alone; overlap comes from the rendered depth. Cameras: x right, y down, z forward; the first pixel's centre is
(0.5, 0.5).
"""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mirror_sfm.demo_landscape import Landscape, floats, make_landscape

WIDTH, HEIGHT, FOCAL = 640, 480, 560.0
# Five rays per pixel: the first goes through the centre and gives the depth, all five give the colour.
SAMPLES = floats([(0.5, 0.5), (0.2, 0.35), (0.65, 0.2), (0.8, 0.65), (0.35, 0.8)])
HAZE = floats([196, 208, 222])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion. `cam_from_world` [3, 4] maps world to camera axes."""

    name: str
    cam_from_world: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return -self.cam_from_world[:, :3].T @ self.cam_from_world[:, 3]

    def rays(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """World directions [3, ...] of pixels, scaled so that a step of 1 is a depth of 1."""
        rotation = self.cam_from_world[:, :3].astype(np.float32)
        u, v = (x - np.float32(WIDTH / 2)) / np.float32(FOCAL), (y - np.float32(HEIGHT / 2)) / np.float32(FOCAL)
        return np.stack([u * right + (v * down + forward) for right, down, forward in rotation.T])

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixel x, pixel y and depth of world points [3, n]."""
        x, y, z = (a * points[0] + b * points[1] + c * points[2] + d for a, b, c, d in self.cam_from_world)
        return x / z * FOCAL + WIDTH / 2, y / z * FOCAL + HEIGHT / 2, z


def look(name: str, centre: np.ndarray, forward: np.ndarray, up: np.ndarray) -> Camera:
    """The camera at `centre` that looks along `forward`, with `up` as close to the photo's top as can be."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return Camera(name, np.concatenate([rotation, -(rotation @ centre)[:, None]], axis=1))


def survey_path(share: float, rng: np.random.Generator, name: str) -> Camera:
    """Where the drone is after `share` of three serpentine strips. It turns round between strips and sways a little."""
    strip = min(int(share * 3), 2)
    along = share * 3 - strip
    heading = 1 - 2 * (strip % 2)
    centre = np.array([heading * (along - 0.5) * 168, (1 - strip) * 56.0, 66]) + rng.normal(0, 1, 3) * (2, 2, 2.5)
    forward = np.array([heading * 0.12, 0, -1.0]) + rng.normal(0, 0.05, 3)
    return look(name, centre, forward, np.array([heading, 0.12 * rng.normal(), 0.1]))


def orbit_path(share: float, rng: np.random.Generator, name: str) -> Camera:
    """Where the drone is after `share` of a circle around the church, looking down at it."""
    angle = 2 * np.pi * share + 0.4
    centre = np.array([40 * np.cos(angle), 22 + 40 * np.sin(angle), 52 + 4 * rng.normal()])
    aim = np.array([-3, 21, 6]) + rng.normal(0, 2, 3)
    return look(name, centre, aim - centre, np.array([0, 0, 1.0]))


def flight(photos: int, rng: np.random.Generator) -> list[Camera]:
    """Three quarters of the photos on the survey, the rest on the orbit."""
    orbit = photos // 4
    survey = photos - orbit
    names = [f"photo_{i:03d}.jpg" for i in range(photos)]
    cameras = [survey_path((i + 0.5) / survey, rng, names[i]) for i in range(survey)]
    return cameras + [orbit_path(i / orbit, rng, names[survey + i]) for i in range(orbit)]


def ground_depth(camera: Camera, land: Landscape, rays: np.ndarray) -> np.ndarray:
    """Depth of the ground along rays [3, h, w]: it is less steep than they are, so the fixed point is the only hit."""
    x, y, z = camera.centre.astype(np.float32)
    rough = -z / rays[2]
    for step, rounds in ((8, 6), (1, 3)):  # first every eighth pixel, then all
        dx, dy, dz = rays[:, ::step, ::step]
        depth = rough[::step, ::step]
        for _ in range(rounds):
            depth = (land.altitude(x + depth * dx, y + depth * dy) - z) / dz
        rough = np.repeat(np.repeat(depth, step, 0), step, 1)[: rays.shape[1], : rays.shape[2]]
    return rough


def render(camera: Camera, land: Landscape) -> tuple[np.ndarray, np.ndarray]:
    """Photo [h, w, 3] uint8 and depth at the pixel centres [h, w] float32."""
    origin = camera.centre.astype(np.float32)
    columns, rows = np.arange(WIDTH, dtype=np.float32)[None], np.arange(HEIGHT, dtype=np.float32)[:, None]
    rays = camera.rays(columns + np.float32(0.5), rows + np.float32(0.5))
    ground = ground_depth(camera, land, rays)
    depth = np.repeat(ground[None], len(SAMPLES), axis=0)
    colour = np.repeat(land.ground_colour(*(origin[:2, None, None] + ground * rays[:2]))[None], len(SAMPLES), axis=0)
    for solid in land.solids:
        x, y, z = camera.project(solid.bounds)
        left, right = np.clip([x.min(), x.max() + 1], 0, WIDTH).astype(int)
        top, bottom = np.clip([y.min(), y.max() + 1], 0, HEIGHT).astype(int)
        if z.min() <= 0 or left >= right or top >= bottom:
            continue
        window = np.s_[:, top:bottom, left:right]
        rays = camera.rays(columns[:, left:right] + SAMPLES[:, :1, None], rows[top:bottom] + SAMPLES[:, 1:, None])
        hit, face = solid.hit(origin, rays)
        front = hit < depth[window]
        points = origin[:, None] + hit[front] * rays[:, front]
        depth[window][front] = hit[front]
        colour[window][front] = solid.colour(points, face[front], land.texture)
    veil = (1 - np.exp(depth[0] / np.float32(-900)))[..., None]
    photo = colour.mean(axis=0) * (1 - veil) + HAZE * veil
    return np.clip(photo + 0.5, 0, 255).astype(np.uint8), depth[0]


def overlap(a: Camera, depth_a: np.ndarray, b: Camera, depth_b: np.ndarray, step: int = 4) -> float:
    """Share of a's pixels (every `step`-th each way) whose surface point b sees: inside its frame and not hidden."""
    first = step // 2
    x, y = np.arange(first, WIDTH, step, dtype=np.float32), np.arange(first, HEIGHT, step, dtype=np.float32)
    rays = a.rays(x[None] + np.float32(0.5), y[:, None] + np.float32(0.5)).reshape(3, -1)
    x, y, z = b.project(a.centre[:, None] + depth_a[first::step, first::step].ravel() * rays)
    inside = (z > 0) & (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    nearest = depth_b[y[inside].astype(int), x[inside].astype(int)]
    return float(np.count_nonzero(z[inside] < nearest * 1.01) / len(z))


def make_demo_scene(folder: str | Path, photos: int = 24, seed: int = 0) -> Path:
    """Renders the scene into `folder` and returns its folder of photos.

    Writes images/photo_NNN.jpg, cameras.json (intrinsics and cam_from_world of each photo), pairs_overlap.csv (for
    every pair the share of each photo that the other sees) and manifest.json. The same seed gives the same bytes.

    Args:
        folder: created where missing; files of an earlier scene are overwritten.
        photos: how many, at least 1.
        seed: of landscape and flight.

    Raises:
        ValueError: photos < 1.
    """
    if photos < 1:
        raise ValueError(f"make_demo_scene: photos: expected at least 1, got {photos}")
    folder = Path(folder)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    land = make_landscape(seed)
    cameras = flight(photos, np.random.default_rng([seed, 1]))

    def shoot(camera: Camera) -> np.ndarray:
        photo, depth = render(camera, land)
        Image.fromarray(photo).save(images / camera.name, quality=93, subsampling=0)
        return depth

    pairs = [(i, j) for i in range(photos) for j in range(i + 1, photos)]
    with ThreadPoolExecutor() as pool:
        depths = list(pool.map(shoot, cameras))

        def both_ways(pair: tuple[int, int]) -> tuple[float, float]:
            (a, depth_a), (b, depth_b) = ((cameras[i], depths[i]) for i in pair)
            return overlap(a, depth_a, b, depth_b), overlap(b, depth_b, a, depth_a)

        shares = list(pool.map(both_ways, pairs))
    write_cameras(folder / "cameras.json", cameras)
    write_overlap(folder / "pairs_overlap.csv", [(cameras[i].name, cameras[j].name) for i, j in pairs], shares)
    manifest = {
        "name": "demo",
        "n_images": photos,
        "kind": "rendered landscape, drone",
        "seed": seed,
        "gt": "pairs_overlap.csv from rendered depth; cameras.json",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return images


def write_cameras(path: Path, cameras: list[Camera]) -> None:
    entries = [
        {
            "name": camera.name,
            "width": WIDTH,
            "height": HEIGHT,
            "model": "PINHOLE",
            "params": [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2],
            "cam_from_world": camera.cam_from_world.round(9).tolist(),
        }
        for camera in cameras
    ]
    note = "x_cam = cam_from_world [3, 4] (x, 1); metres; x right, y down, z forward; first pixel centre (0.5, 0.5)"
    path.write_text(json.dumps({"note": note, "cameras": entries}, indent=1) + "\n")


def write_overlap(path: Path, names: list[tuple[str, str]], shares: list[tuple[float, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_a", "image_b", "overlap_a_to_b", "overlap_b_to_a", "overlap_min", "overlap_mean"])
        for (a, b), (ab, ba) in zip(names, shares, strict=True):
            writer.writerow([a, b, *(f"{v:.4f}" for v in (ab, ba, min(ab, ba), (ab + ba) / 2))])
