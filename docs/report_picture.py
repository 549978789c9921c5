"""Makes docs/report.jpg, the README's picture of the report, from our own rendered scene.

python docs/report_picture.py       # needs Chromium in PATH; the picture uses the font Inter where it is installed
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from mirror_sfm.demo_scene import make_demo_scene
from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.report import write_report

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

import chromium  # noqa: E402

PHOTOS, PER_IMAGE, SHOWN = 48, 10, 42  # the photo whose card is open
WIDTH, HEIGHT = 1180, 1120  # of the page, and of the picture, in pixels


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scene, out = Path(folder, "village"), Path(folder, "out")
        make_demo_scene(scene, PHOTOS)
        out.mkdir()
        options = PairOptions(per_image=PER_IMAGE)
        write_report(out / "report.html", find_pairs(scene / "images", options), options)
        with chromium.browser(Path(folder)) as page:
            columns = shots(page, out / "report.html")
    columns = [column.resize((round(column.width * HEIGHT / column.height), HEIGHT)) for column in columns]
    picture = Image.new("RGB", (sum(column.width for column in columns), HEIGHT))
    for k, column in enumerate(columns):
        picture.paste(column, (sum(before.width for before in columns[:k]), 0))
    picture.save(HERE / "report.jpg", quality=78, optimize=True, progressive=True)


def shots(page: chromium.Page, report: Path) -> list[Image.Image]:
    """The upper and the lower half of the page."""
    page.open(report, WIDTH, 1000)
    # Paths of a temporary folder tell nobody anything.
    page.run(
        "(() => { for (const n of document.querySelectorAll('code span')) n.textContent = n.textContent"
        f".replace('{report.parent.parent}/', ''); }})()"
    )
    page.run(f"document.querySelector('#photo-{SHOWN}').click()")
    page.size(WIDTH, page.run("document.documentElement.scrollHeight"))
    page.run("new Promise(done => setTimeout(done, 500))")
    whole = Image.open(io.BytesIO(page.picture())).convert("RGB")
    top = page.run("document.querySelector('#matrix').getBoundingClientRect().top + scrollY")
    end = page.run("document.querySelector('footer').getBoundingClientRect().top + scrollY")
    return [whole.crop((0, 0, WIDTH, round(top))), whole.crop((0, round(top), WIDTH, round(end) + 20))]


if __name__ == "__main__":
    main()
