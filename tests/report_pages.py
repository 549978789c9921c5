"""What the tests of the report share: graphs to report on, and a reader of the page."""

from __future__ import annotations

import base64
import html.parser
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from view_graphs import flight

from mirror_sfm.pairs import PairOptions
from mirror_sfm.photos import Skipped
from mirror_sfm.report import write_report
from mirror_sfm.view_graph import ViewGraph

HOSTILE = (
    "a<script>window.hacked=1</script>.jpg",
    "b\"onerror='window.hacked=1'.jpg",
    "c & d &lt;b&gt;.jpg",
    "e\nnew line\t.jpg",
    "f\u202egpj.exe.jpg",
    "g </script><!-- <script>.jpg",
    "h\udcff\udcfe.jpg",
    "i 😀 {{ names }} {% raw %}.jpg",
    "j <img src=x onerror=window.hacked=1>.jpg",
    "k\u2028${window.hacked=1}`.jpg",
)
VOID = {"meta", "input", "path", "circle", "br", "img"}


class Outline(html.parser.HTMLParser):
    """Elements, attributes and text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def text(self) -> str:
        return " ".join(part for tag, parts in self.texts.items() if tag not in ("script", "style") for part in parts)


def report(path: Path, graph: ViewGraph, threads: int = 2) -> str:
    write_report(path, graph, PairOptions(threads=threads))
    return path.read_bytes().decode()


def data_of(page: str, name: str = "data") -> dict:
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def unpack(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["data"]), f"<{packed['type']}").astype(np.int64)


def noise(folder: Path) -> list[Path]:
    """A few photos of noise: nothing is harder to compress."""
    rng = np.random.default_rng(0)
    for k in range(4):
        Image.fromarray(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)).save(folder / f"{k}.jpg", quality=90)
    return sorted(folder.iterdir())


def two_areas(files: list[Path]) -> ViewGraph:
    """40 photos in two areas, the last two alone, two skipped."""
    names = tuple(f"area/{k:02d}.jpg" for k in range(40))
    paths = {name: files[k % len(files)] for k, name in enumerate(names)}
    skipped = (Skipped("dark.jpg", "no feature found"), Skipped("torn.jpg", "the file is empty"))
    return flight(40, per_image=6, names=names, paths=paths, skipped=skipped, parts=2, alone=2)


def hostile_names(files: list[Path]) -> ViewGraph:
    """Photos whose names would like to be more than text."""
    paths = {name: files[k % len(files)] for k, name in enumerate(HOSTILE)}
    skipped = (Skipped("z<script>window.hacked=1</script>\n.jpg", "cannot be decoded: <b>\"'&\x1b[31m"),)
    return flight(len(HOSTILE), per_image=4, names=HOSTILE, paths=paths, skipped=skipped)
