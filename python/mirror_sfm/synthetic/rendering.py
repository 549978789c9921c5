"""From a lit surface and a pose to a photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mirror_ext.numpy import rasterize
from mirror_sfm.errors import UsageError
from mirror_sfm.scenes.cameras import Camera
from mirror_sfm.synthetic.lens import Raster, raster_of
from mirror_sfm.synthetic.lighting import Lit
from mirror_sfm.synthetic.noise import floats
from mirror_sfm.synthetic.surfaces import LEVELS

BAND = 16  # rows of a photo shaded at a time: their numbers stay in the cache
TONES = 4096  # steps of the table from light to grey values


@dataclass(frozen=True)
class RenderOptions:
    """How photos are taken.

    Attributes:
        width, height: in pixels.
        focal: focal length in pixels; None: what suits the kind of scene.
        distortion: k of COLMAP's SIMPLE_RADIAL camera; 0: a pinhole camera.
        samples: a pixel is the mean of samples x samples rays.
        exposure: standard deviation of the exposure over the photos, in stops.
        vignetting: share of the light lost in the corners.
        noise: standard deviation of the sensor's noise, in grey values of 0 .. 255.
        motion: pixels that the middle of the photo moves while the shutter is open.
        suffix: of the photos' names: ".jpg" or ".png".
        quality: of JPEG files.
        threads: how many; None: every processor this process may use. They change nothing.
    """

    width: int = 640
    height: int = 480
    focal: float | None = None
    distortion: float = 0.0
    samples: int = 2
    exposure: float = 0.12
    vignetting: float = 0.12
    noise: float = 1.2
    motion: float = 0.0
    suffix: str = ".jpg"
    quality: int = 93
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("height", 1), ("samples", 1), ("quality", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        for name in ("exposure", "vignetting", "noise", "motion"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name}: expected a number of at least 0, got {getattr(self, name)}")
        if self.vignetting > 1:
            raise UsageError(f"vignetting: expected at most 1, got {self.vignetting}")
        if self.focal is not None and not 0 < self.focal < np.inf:
            raise UsageError(f"focal: expected a number above 0, got {self.focal}")
        if self.suffix not in (".jpg", ".png"):
            raise UsageError(f"suffix: expected .jpg or .png, got {self.suffix!r}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: expected at least 1, got {self.threads}")

    def camera(self, focal: float) -> Camera:
        """COLMAP's camera of the photos."""
        focal, middle = self.focal or focal, (self.width / 2, self.height / 2)
        if self.distortion:
            return Camera("SIMPLE_RADIAL", (focal, *middle, self.distortion), self.width, self.height)
        return Camera("PINHOLE", (focal, focal, *middle), self.width, self.height)


def _srgb_to_linear() -> np.ndarray:
    grey = np.arange(256) / 255
    return floats(np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4))


def _tones() -> np.ndarray:
    """Light 0 .. 4 (in TONES steps per 1) to grey 0 .. 255: sRGB with a shoulder, so that bright places keep detail."""
    light = np.arange(4 * TONES + 1) / TONES
    bent = np.where(light < 0.6, light, 0.6 + 0.4 * (1 - 1 / (1 + (light - 0.6) / 0.4)))
    grey = np.where(bent <= 0.0031308, 12.92 * bent, 1.055 * bent ** (1 / 2.4) - 0.055)
    return floats(255 * grey)


LINEAR, GREY = _srgb_to_linear(), _tones()


def render(lit: Lit, pose: np.ndarray, camera: Camera, samples: int = 2, *, threads: int = 1) -> np.ndarray:
    """Light that reaches each pixel of a photo, [3, height, width] float32, linear; exact mean of its samples."""
    mesh, raster = lit.surface.mesh, raster_of(camera, samples)
    ids, depth, weights = rasterize(
        mesh.vertices,
        mesh.faces,
        pose[None],
        raster.pinhole.intrinsics[None],
        raster.pinhole.height,
        raster.pinhole.width,
        near=near_of(lit),
        barycentrics=True,
        num_threads=threads,
    )
    photo = np.empty((3, camera.height, camera.width), np.float32)
    for top in range(0, camera.height, BAND):
        rows = slice(top * samples, min(top + BAND, camera.height) * samples)
        part = raster.band(rows)
        light = _shade(lit, pose, raster, *part.places, *(part.of(values[0]) for values in (ids, depth, weights)))
        photo[:, top : top + BAND] = area_mean(light, samples)
    return photo


def near_of(lit: Lit) -> float:
    """Nearest depth that is drawn: a small share of the scene's size, so that nothing depends on its unit."""
    low, high = lit.surface.mesh.vertices.min(axis=0), lit.surface.mesh.vertices.max(axis=0)
    return 1e-4 * float(np.linalg.norm(high - low))


def area_mean(light: np.ndarray, samples: int) -> np.ndarray:
    """[..., h, w] means of the samples x samples blocks of [..., h samples, w samples], summed in a fixed order."""
    total = light[..., ::samples, ::samples].copy()
    for sample in range(1, samples * samples):
        total += light[..., sample // samples :: samples, sample % samples :: samples]
    return total / np.float32(samples * samples)


def _shade(
    lit: Lit,
    pose: np.ndarray,
    raster: Raster,
    x: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    depth: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """[3, h, w] float32 light at samples: their places in the raster, and what it holds there."""
    lights, empty = lit.lights, ids < 0
    depth = np.where(empty, np.float32(1), depth)
    corners = lit.corners[np.maximum(ids, 0)]
    a, b = weights[..., 0], weights[..., 1]
    c = 1 - a - b
    u, v, key, soft = (a * corners[..., k] + b * corners[..., k + 1] + c * corners[..., k + 2] for k in range(0, 12, 3))
    grain = corners[..., 12] * depth * np.float32(1 / raster.pinhole.fx)  # texels per sample
    picture = _texels(lit, u, v, grain)
    key *= _lit_by_key(lit, pose, raster, x, y, depth)
    glow = corners[..., 13]
    veil = depth / (depth + np.float32(lights.clear)) if lights.clear else None
    rays = _upward(pose, raster, x, y) if empty.any() else None
    light = np.empty((3, *ids.shape), np.float32)
    for channel in range(3):
        arriving = key * np.float32(lights.key_colour[channel])
        arriving += soft * np.float32(lights.soft_colour[channel])
        arriving += glow + np.float32(lights.ambient[channel])
        colour = LINEAR[picture[..., channel]] * arriving
        if veil is not None:
            colour += (np.float32(lights.haze[channel]) - colour) * veil
        if rays is not None:
            low, high = np.float32(lights.horizon[channel]), np.float32(lights.zenith[channel])
            colour = np.where(empty, low + (high - low) * rays, colour)
        light[channel] = colour
    return light


def _texels(lit: Lit, u: np.ndarray, v: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8 colours of the atlas: between four texels of the level whose texels are as large as samples."""
    level = np.clip(np.frexp(grain * np.float32(0.7071))[1], 0, LEVELS - 1)
    scale = floats(0.5 ** np.arange(LEVELS))[level]
    left, top = (lit.surface.places[:, axis][level] - np.float32(0.5) for axis in (0, 1))
    # OpenCV's own fixed point, 5 bits between texels, but rounded here: its rounding differs between processors.
    x, y = (np.rint(place * np.float32(32)).astype(np.int32) for place in (left + u * scale, top + v * scale))
    whole = np.stack([x >> 5, y >> 5], axis=-1).astype(np.int16)
    between = ((y & 31) * 32 + (x & 31)).astype(np.uint16)
    return cv2.remap(lit.surface.atlas, whole, between, cv2.INTER_LINEAR)


def _lit_by_key(
    lit: Lit, pose: np.ndarray, raster: Raster, x: np.ndarray, y: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """[h, w] bool, whether the key lamp sees what the samples see."""
    pinhole, rotation = raster.pinhole, pose[:, :3]
    centre = -rotation.T @ pose[:, 3]
    # A place is centre + depth (M (x, y, 1)); its pixel in the lamp's picture is linear in that.
    lifted = rotation.T @ np.array(
        [[1 / pinhole.fx, 0, -pinhole.cx / pinhole.fx], [0, 1 / pinhole.fy, -pinhole.cy / pinhole.fy], [0, 0, 1]]
    )
    matrix = lit.to_shadows[:, :3] @ lifted
    offset = lit.to_shadows[:, :3] @ centre + lit.to_shadows[:, 3]
    p, q, w = (
        depth * (np.float32(m[0]) * x + (np.float32(m[1]) * y + np.float32(m[2]))) + np.float32(o)
        for m, o in zip(matrix, offset, strict=True)
    )
    size = len(lit.shadows)
    column, row = (np.clip(value / w, 0, size - 1).astype(np.int32) for value in (p, q))
    return w <= lit.shadows.ravel()[row * size + column]


def _upward(pose: np.ndarray, raster: Raster, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[h, w] how far above the horizon samples look: 0 at the horizon and below, 1 straight up."""
    pinhole = raster.pinhole
    u, v = (x - np.float32(pinhole.cx)) / np.float32(pinhole.fx), (y - np.float32(pinhole.cy)) / np.float32(pinhole.fy)
    right, down, ahead = floats(pose[:, 2])
    return np.clip((right * u + down * v + ahead) / np.sqrt(u * u + v * v + 1), 0, 1)


def develop(light: np.ndarray, exposure: float, options: RenderOptions, rng: np.random.Generator) -> np.ndarray:
    """The photo [h, w, 3] uint8 of light [3, h, w]: exposure (in stops), vignetting, tones, noise."""
    _, height, width = light.shape
    x, y = (floats((np.arange(side) + 0.5) / side * 2 - 1) for side in (width, height))
    kept = 1 - np.float32(options.vignetting / 2) * (x[None] ** 2 + y[:, None] ** 2)
    step = light * (kept * np.float32(2.0**exposure * TONES))
    step = np.clip(step, 0, len(GREY) - 2)
    index = step.astype(np.int32)
    grey = GREY[index] + (GREY[index + 1] - GREY[index]) * (step - index)
    if options.noise:
        grey += _noise(rng, light.shape) * np.float32(options.noise)
    return np.ascontiguousarray(np.clip(grey + np.float32(0.5), 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Nearly normal float32 values of standard deviation 1: sums of four bytes, the same bits everywhere."""
    values = rng.integers(0, 256, (4, *shape), np.uint8)
    total = values[0].astype(np.float32) + values[1] + values[2] + values[3]
    return (total - np.float32(510)) * np.float32(1 / (4 * (256**2 - 1) / 12) ** 0.5)
