"""Locks of experiments' refs that a killed process left behind: with them nobody can write these refs again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

FOLDERS = ("refs/exps", "refs/lab")  # only lab and DVC write there, each ref in a few milliseconds
AGE = 5.0  # seconds after which a lock that nobody has open is nobody's
LOOK = 0.1


def unlock(common: Path) -> list[Path]:
    """Remove what was left of the repository with this common folder; a lock that somebody has open stays.

    Young ones are waited for: one is gone in a moment, or of an age in which nobody holds it. Returns what was removed.
    """
    locks, until = list(_locks(common)), time.monotonic() + AGE + LOOK
    while any(_age(lock) < AGE for lock in locks) and time.monotonic() < until:
        time.sleep(LOOK)
    removed, old = [], {lock for lock in locks if _age(lock) >= AGE}
    for lock in old - _open(old):
        with suppress(OSError):  # such as one that was gone just now
            lock.unlink()
            removed.append(lock)
    return removed


def _locks(common: Path) -> Iterator[Path]:
    return (lock for folder in FOLDERS for lock in (common / folder).rglob("*.lock"))


def _age(lock: Path) -> float:
    """Seconds since it was made, or until then, by a clock that was put back; infinite where it is gone."""
    with suppress(OSError):
        return abs(time.time() - lock.stat().st_mtime)
    return math.inf


def _open(locks: set[Path]) -> set[Path]:
    """Those that a process has open, of the processes that this user may ask."""
    names = {str(lock.resolve()): lock for lock in locks}
    found = set()
    for process in psutil.process_iter() if locks else ():
        with suppress(psutil.Error):
            found |= {names[file.path] for file in process.open_files() if file.path in names}
    return found
