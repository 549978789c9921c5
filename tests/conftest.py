"""Inputs that several tests share: photos made on the spot, and the labelled scenes where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parent.parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Run from the root of the repository, mirror_ext/ there is what is imported: it must hold the compiled parts."""
    import mirror_ext

    loaded = mirror_ext.build_info()["loaded"]["numpy"]
    if loaded is not True:
        why = f"mirror_ext is not built in place ({loaded})"
        pytest.exit(f"{why}: run `make test`, or `pip install --no-build-isolation -e .`", returncode=2)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real photos and labels; tests that need it are skipped without it."""
    folder = Path(os.environ.get("MIRROR_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "scenes").is_dir():
        pytest.skip(f"no labelled scenes in {folder}: set MIRROR_DATA")
    return folder


@pytest.fixture(scope="session")
def texture() -> Image.Image:
    """A grey surface full of features of every size, 2400 x 480."""
    rng = np.random.default_rng(7)
    surface = np.zeros((480, 2400))
    for radius in (1, 2, 4, 8, 16):
        noise = Image.fromarray(rng.integers(0, 256, surface.shape, dtype=np.uint8))
        smooth = np.asarray(noise.filter(ImageFilter.GaussianBlur(radius)), float)
        surface += (smooth - smooth.mean()) / smooth.std()
    return Image.fromarray(np.clip(128 + 24 * surface, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def strip(texture: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos along the surface, 640 x 480, each sharing 60 % with the next and nothing with the fourth."""
    folder = tmp_path_factory.mktemp("strip")
    for place in range(8):
        left = place * 250
        texture.crop((left, 0, left + 640, 480)).save(folder / f"{place}.jpg", quality=90)
    return folder
