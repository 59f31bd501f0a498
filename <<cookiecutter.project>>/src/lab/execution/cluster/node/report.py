"""What a node says of a run: to a folder that others see, or to whoever started the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Report = Callable[[str, Any], None]
"""Takes what happens: `note` (where it stands), `log` and `epochs` (text that is new)."""


class FolderReport:
    """A `Report` into a folder: note.json, log and epochs. A new attempt begins them anew."""

    def __init__(self, folder: Path):
        self.folder, self.attempt = folder, ""

    def __call__(self, kind: str, value: Any) -> None:
        if kind == "note":
            self.note(value)
        elif self._is_current():
            with (self.folder / kind).open("a", encoding="utf-8") as file:
                file.write(value)

    def note(self, value: dict[str, Any]) -> None:
        """Note where the run stands; a first attempt that was thought lost says nothing over a second one."""
        if not self.attempt:
            self.attempt = value["attempt"]
            for name in ("log", "epochs"):
                (self.folder / name).unlink(missing_ok=True)
        elif not self._is_current():
            return
        partial = self.folder / f"note.{value['attempt']}"
        partial.write_text(json.dumps(value))
        partial.replace(self.folder / "note.json")

    def _is_current(self) -> bool:
        with suppress(OSError, ValueError):
            return json.loads((self.folder / "note.json").read_text())["attempt"] == self.attempt
        return False


class Follower:
    """What files have got since the last look."""

    def __init__(self, files: dict[str, Path], report: Report):
        self.files, self.report = files, report
        self.read = dict.fromkeys(files, 0)

    def look(self) -> None:
        for kind, path in self.files.items():
            with suppress(FileNotFoundError), path.open("rb") as file:
                if path.stat().st_size < self.read[kind]:
                    self.read[kind] = 0
                file.seek(self.read[kind])
                if new := file.read():
                    self.read[kind] += len(new)
                    self.report(kind, new.decode(errors="replace"))
