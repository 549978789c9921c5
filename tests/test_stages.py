"""Work in stages: what is remembered, and what is not any more."""

from pathlib import Path

import pytest

from mirror_sfm.stages import Stages


def test_a_stage_is_done_once_per_key(tmp_path: Path) -> None:
    done = []

    def work() -> int:
        done.append(len(done))
        return len(done)

    for key, expected in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        assert Stages(tmp_path / "stages.json").run("map", key, work) == expected
    assert Stages(tmp_path / "stages.json").run("map", "a", work, still_there=False) == 4


def test_files_replaced_by_a_run_that_was_stopped_are_not_taken_for_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "model"

    def work(content: str, stopped: bool = False) -> str:
        stages.forget("map")
        file.write_text(content)
        if stopped:
            raise KeyboardInterrupt
        return content

    stages = Stages(tmp_path / "stages.json")
    stages.run("map", "first", lambda: work("first"))
    with pytest.raises(KeyboardInterrupt):
        stages.run("map", "second", lambda: work("second", stopped=True))
    stages = Stages(tmp_path / "stages.json")
    assert stages.run("map", "first", lambda: work("first"), still_there=file.exists()) == "first"
    assert file.read_text() == "first"


def test_forgetting_what_was_not_known_writes_nothing(tmp_path: Path) -> None:
    Stages(tmp_path / "stages.json").forget("map")
    assert not (tmp_path / "stages.json").exists()
