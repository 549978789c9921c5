"""Makes docs/report.jpg, the README's picture of the report, from our own rendered scene.

python docs/report_picture.py       # needs Chromium in PATH; the picture uses the font Inter where it is installed
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.report import write_report
from mirror_sfm.synthetic import make_scene

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

import chromium  # noqa: E402

PHOTOS, PER_IMAGE, SHOWN = 48, 16, 42  # the photo whose card is open
WIDTH = 1180  # of the page, pixels


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scene, out = Path(folder, "village"), Path(folder, "out")
        make_scene("village", scene, PHOTOS)
        out.mkdir()
        options = PairOptions(per_image=PER_IMAGE)
        write_report(out / "report.html", find_pairs(scene / "images", options), options)
        with chromium.browser(Path(folder)) as page:
            columns = shots(page, out / "report.html")
    picture = Image.new("RGB", (2 * WIDTH, columns[0].height))
    for k, column in enumerate(columns):
        picture.paste(column, (k * WIDTH, 0))
    picture.thumbnail((1400, 1400))
    picture.save(HERE / "report.jpg", quality=72, optimize=True, progressive=True)


def shots(page: chromium.Page, report: Path) -> list[Image.Image]:
    """The page's beginning, to the end of the graph, and as much of what follows."""
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
    return [whole.crop((0, part * round(top), WIDTH, (part + 1) * round(top))) for part in (0, 1)]


if __name__ == "__main__":
    main()
