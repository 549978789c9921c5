"""Damaged files for every reader: `python tests/mutated.py FOLDER [COUNT] [READER...]`.

Runs in a process of its own with limited memory, so that a crash, a hang or a blow-up is seen. Prints a line of JSON
per reader: how many inputs were read, how many were refused in one line, and what went wrong otherwise.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import time
import traceback
import zlib  # noqa: F401  (before pycolmap)
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

MEMORY = 1 << 30  # bytes beyond what the process has at the start
SLOW = 2.0  # seconds of the processor for one small input
_HUGE = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]

GL3D_LINE = (
    "0 3995.67 3995.67 2304 1728 0 63.6722 -28.8643 53.9166 1 0 0 0 1 0 0 0 1 0.0131149 0.0165777 -0.02 4608 3456"
)
PLAIN = {
    "image_size": [640, 480],
    "cameras": {
        "a": {"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]], "cam_to_world": np.eye(4).tolist()},
        "b": {"model": "OPENCV", "params": [1, 2, 3, 4, 0, 0, 0, 0], "cam_from_world": np.eye(3, 4).tolist()},
    },
    "first_pixel_centre": [0, 0],
}


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Damaged copies: cut, bits flipped, numbers made huge, stretches lost, doubled or filled."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            size = len(damaged)
            if not size:
                break
            at, kind = int(rng.integers(size)), k % 6
            if kind == 0:
                del damaged[at:]
            elif kind == 1:
                damaged[at] ^= 1 << int(rng.integers(8))
            elif kind == 2:
                width = int(rng.choice([1, 2, 4, 8]))
                number = struct.pack("<Q", _HUGE[int(rng.integers(len(_HUGE)))])[:width]
                damaged[at : at + width] = number
            elif kind == 3:
                del damaged[at : at + int(rng.integers(1, 16))]
            elif kind == 4:
                damaged[at:at] = damaged[at : at + int(rng.integers(1, 64))]
            else:
                damaged[at : at + 8] = bytes([int(rng.choice([0, 255, 45, 57]))]) * 8
        yield bytes(damaged)


def model_files() -> dict[str, bytes]:
    """A model of three photos and twelve points, two photos in one rig."""
    import tempfile

    from mirror_sfm.colmap.models import write_model
    from mirror_sfm.scenes.cameras import Camera, View
    from mirror_sfm.scenes.scene import Tracks

    rng = np.random.default_rng(1)
    lenses = [Camera("SIMPLE_RADIAL", (500, 320, 240, 0.01), 640, 480), Camera("PINHOLE", (400, 410, 99, 77), 200, 150)]
    views = tuple(View(f"{k}.jpg", lenses[k % 2], np.column_stack([np.eye(3), (0.1 * k, 0, 4)])) for k in range(3))
    seen = np.concatenate([np.arange(12)] * 3).astype(np.int32)
    tracks = Tracks(rng.normal(size=(12, 3)), np.arange(4, dtype=np.int64) * 12, seen)
    with tempfile.TemporaryDirectory() as folder:
        write_model(folder, views, tracks)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def readers() -> dict[str, tuple[str, bytes, Callable[[Path], object]]]:
    """By name: the file's name, a whole file, the reader."""
    from mirror_sfm.colmap.models import read_model
    from mirror_sfm.scenes import gl3d_cameras as cameras
    from mirror_sfm.scenes import gl3d_masks as masks
    from mirror_sfm.scenes.depth_files import read_depth
    from mirror_sfm.scenes.meshes import read_mesh
    from mirror_sfm.scenes.pfm import read_pfm
    from mirror_sfm.scenes.plain import read_plain_cameras

    rng = np.random.default_rng(0)
    made: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {}
    for name in model_files():
        made[name] = (name, model_files()[name], lambda path: read_model(path.parent))
    made["pfm"] = ("a.pfm", b"Pf\n5 4\n-1.0\n" + rng.random(20, np.float32).tobytes(), read_pfm)
    bits = rng.integers(0, 2, (3, 2, 14, 14)).astype(np.uint8).reshape(3, -1)
    keys = np.array([[0, 1], [0, 2], [1, 2]], "<i4").view(np.uint8).reshape(3, 8)
    made["mask.bin"] = ("mask.bin", np.concatenate([keys, bits], 1).tobytes(), lambda path: masks.read_masks(path, 3))
    record = struct.pack("<3q", 0, 31, 2) + rng.random(30, np.float32).tobytes()
    made["corr.bin"] = ("corr.bin", record * 3, cameras.read_correspondences)
    made["kpts"] = ("00000000.bin", rng.random(60, np.float32).tobytes(), cameras.read_keypoints)
    listing = struct.pack("<9i", 1, 1, 7, 1, 8, 2, 9, 10, 0)[:-4] + bytes(rng.integers(0, 2, 392, np.uint8))
    made["train_list"] = ("train_list_with_mask.bin", listing, masks.read_training_list)
    depth = rng.integers(0, 5000, (6, 8)).astype(np.uint16)
    png, npy = io.BytesIO(), io.BytesIO()
    Image.fromarray(depth).save(png, "PNG")
    np.save(npy, depth.astype(np.float32))
    made["depth_png"] = ("a.png", png.getvalue(), lambda path: read_depth(path, 1000.0))
    made["depth_npy"] = ("a.npy", npy.getvalue(), read_depth)
    stereo = b"8&6&1&" + depth.astype(np.float32).tobytes()
    made["depth_colmap"] = ("a.jpg.geometric.bin", stereo, read_depth)
    made["cameras.txt"] = ("cameras.txt", GL3D_LINE.encode(), cameras.read_cameras)
    made["cameras.json"] = ("cameras.json", json.dumps(PLAIN).encode(), read_plain_cameras)
    for suffix, content in mesh_files().items():
        made[suffix] = (f"mesh{suffix}", content, read_mesh)
    return made


def mesh_files() -> dict[str, bytes]:
    """A cube in every format."""
    import trimesh

    box = trimesh.creation.box()
    made = {f".{kind}": box.export(file_type=kind) for kind in ("ply", "stl", "glb", "obj", "off")}
    return {suffix: content.encode() if isinstance(content, str) else content for suffix, content in made.items()}


def run(name: str, folder: Path, count: int) -> dict[str, object]:
    from mirror_sfm.errors import MirrorError

    file, content, read = readers()[name]
    place = folder / name
    place.mkdir(parents=True)
    if name.endswith(".bin") and name in (whole := model_files()):
        for other, bytes_ in whole.items():
            (place / other).write_bytes(bytes_)
    path, found = place / file, {"reader": name, "read": 0, "refused": 0, "faults": []}
    path.write_bytes(content)
    read(path)
    for k, damaged in enumerate(mutations(content, count, 1 + sum(map(ord, name)))):
        path.unlink()  # written over, file systems flush it to the disk
        path.write_bytes(damaged)
        started = time.process_time()
        try:
            read(path)
            found["read"] += 1
        except MirrorError as error:
            found["refused"] += 1
            if "\n" in str(error) or str(path.parent) not in str(error):
                found["faults"].append(f"{k}: not one line that names the file: {error}")
        except Exception:
            found["faults"].append(f"{k}: {traceback.format_exc(limit=-3)}")
        if time.process_time() - started > SLOW:
            found["faults"].append(f"{k}: took {time.process_time() - started:.1f} s")
    return found


def main() -> None:
    import logging

    logging.disable(logging.CRITICAL)
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    chosen = sys.argv[3:] or list(readers())
    status = Path("/proc/self/status").read_text().splitlines()
    have = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
    resource.setrlimit(resource.RLIMIT_AS, (have + MEMORY, have + MEMORY))
    for name in chosen:
        print(f"# {name}", file=sys.stderr, flush=True)
        started = time.process_time()
        found = run(name, folder, count)
        print(json.dumps({**found, "seconds": round(time.process_time() - started, 2)}), flush=True)


if __name__ == "__main__":
    main()
