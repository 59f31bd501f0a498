"""Temporary checkouts that nobody is at any more: DVC and lab clear theirs away unless they are killed."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

AGE = 3600.0  # seconds: a younger one may be about to be noted


def stale(root: Path) -> dict[Path, int]:
    """The checkouts that no note of DVC's on a run names, with the bytes below each."""
    exps = root / ".dvc" / "tmp" / "exps"
    named = {_checkout(note) for note in exps.glob("run/*/*.run")}
    before = time.time() - AGE
    folders = [path for path in exps.glob("tmp*") if path.is_dir() and path.stat().st_mtime < before]
    return {path: _size(path) for path in folders if str(path.resolve()) not in named}


def _checkout(note: Path) -> str:
    with suppress(OSError, ValueError, AttributeError):
        return str(Path(json.loads(note.read_text()).get("root_dir") or "").resolve())
    return ""


def _size(folder: Path) -> int:
    """Of its own files: links lead elsewhere."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file())
