"""The examples run as they are and print what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(example: str, *arguments: str) -> str:
    """From the folder of the examples, where the installed packages are imported and not the repository's folders."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / example, *arguments], capture_output=True, text=True, cwd=EXAMPLES, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_score_pairs(strip: Path) -> None:
    photos = [str(strip / f"{place}.jpg") for place in range(8)]
    lines = run("score_pairs.py", *photos).splitlines()
    first = lines[0].split()
    assert abs(photos.index(first[0]) - photos.index(first[1])) == 1  # neighbours share most
    evidence = [float(line.split("evidence ")[1].split(",")[0]) for line in lines]
    assert len(lines) == 28 // 3 and evidence == sorted(evidence, reverse=True) and evidence[0] > 10


def test_pr_mac_topk() -> None:
    pytest.importorskip("torch")
    output = run("pr_mac_topk.py")
    assert "100% of them of the same place" in output and "same result: True" in output
    assert "gradient of the score: (1, 14, 256)" in output


@pytest.mark.slow
def test_draw_demo_graph(tmp_path: Path) -> None:
    run("draw_demo_graph.py", str(tmp_path / "graph.jpg"))
    assert (tmp_path / "graph.jpg").stat().st_size > 50_000
