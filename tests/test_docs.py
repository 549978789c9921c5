"""Documentation is true: its examples run, its links lead somewhere, every option of every command is explained."""

import re
from pathlib import Path

import pytest
import typer.main

import mirror_sfm.cli.app
from mirror_sfm.cli import demo, evaluate, match, pairs, reconstruct  # noqa: F401  each registers its command

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "bench" / "README.md"])
COMMANDS = typer.main.get_command(mirror_sfm.cli.app.app).commands


def test_examples_of_the_python_page_run(strip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(strip)
    pycolmap.Database.open("project.db").close()
    pycolmap.extract_features("project.db", strip, device=pycolmap.Device.cpu)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.S)
    assert len(blocks) >= 5
    exec("\n".join(blocks), {})  # one after the other, as a reader would


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_on_the_page_of_its_command(command: str) -> None:
    page = (ROOT / "docs" / f"{command}.md").read_text()
    root = COMMANDS[command]
    for parameter in [p for one in (root, *getattr(root, "commands", {}).values()) for p in one.params]:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--") and option != "--help":
                assert re.search(rf"{option}\b(?!-)", page), option
