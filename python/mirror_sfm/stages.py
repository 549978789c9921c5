"""Work in stages, each remembered with what it was made of: a run goes on where the last one stopped."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirror_sfm.exports import complete_file
from mirror_sfm.photos import shown

FORMAT = 1  # of the file
_log = logging.getLogger("mirror_sfm")


class Stages:
    """Results of stages by name, in a JSON file that is replaced as a whole after every stage."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, dict[str, Any]] = self._load()

    def result(self, stage: str, key: str) -> Any | None:
        """What the stage gave, if it was last made with this key."""
        record = self._done.get(stage)
        return record["result"] if record is not None and record["key"] == key else None

    def run(self, stage: str, key: str, work: Callable[[], Any], still_there: bool = True) -> Any:
        """What the stage gave with this key; does the work where it was not done, or where its files are gone.

        The result must be what JSON can hold.
        """
        result = self.result(stage, key)
        if result is None or not still_there:
            started = time.perf_counter()
            result = work()
            self.keep(stage, key, result, time.perf_counter() - started)
        return result

    def keep(self, stage: str, key: str, result: Any, seconds: float = 0.0) -> None:
        """Remembers a result."""
        self._done[stage] = {"key": key, "seconds": round(seconds, 3), "result": result}
        self._write()

    def forget(self, stage: str) -> None:
        """Before its files are replaced: stopped half way, they would be taken for what it was remembered with."""
        if self._done.pop(stage, None) is not None:
            self._write()

    def _write(self) -> None:
        text = json.dumps({"format": FORMAT, "stages": self._done}, indent=1, ensure_ascii=True)
        with complete_file(self._path) as file:
            file.write(text.encode())

    def seconds(self, stage: str) -> float:
        """Wall time of the run that made the stage."""
        return float(self._done[stage]["seconds"])

    def _load(self) -> dict[str, dict[str, Any]]:
        if not self._path.exists():
            return {}
        try:
            stored = json.loads(self._path.read_bytes())
            if stored["format"] == FORMAT and all(
                {"key", "seconds", "result"} <= s.keys() for s in stored["stages"].values()
            ):
                return dict(stored["stages"])
            why = f"its format is {stored['format']}, here it is {FORMAT}"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"it is damaged ({type(error).__name__})"
        _log.warning("%s is not used, everything is done again: %s", shown(str(self._path)), why)
        return {}
