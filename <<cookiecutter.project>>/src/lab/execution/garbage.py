"""git's garbage collection, kept from what no ref names yet."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PATIENCE = 10.0  # seconds for a collection that runs; git's own, without --prune=now, spares what is younger than weeks
LOOK = 0.02
LONGEST = 12 * 3600  # seconds after which git takes a collection's note for a leftover


@contextmanager
def kept_out(common: Path) -> Iterator[None]:
    """No `git gc` of the repository with this common folder begins meanwhile; one that runs is waited for.

    `git gc --prune=now` deletes whatever no ref names, also what was written a moment ago. It is kept out by its own
    note of who collects (gc.pid: a process and its host; lock_repo_for_gc in git's builtin/gc.c), and says so.
    """
    note, until, is_ours = common / "gc.pid", time.monotonic() + PATIENCE, False
    with suppress(OSError):  # such as a repository that nobody may write to
        while not (is_ours := _noted(note)) and time.monotonic() < until:
            time.sleep(LOOK)
    try:
        yield
    finally:
        if is_ours:
            note.unlink(missing_ok=True)


def _noted(note: Path) -> bool:
    """Whether this process is the one that is noted now."""
    try:
        with note.open("x", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {socket.gethostname()}")
        return True
    except FileExistsError:
        with suppress(OSError, ValueError):
            number, _, host = note.read_text(encoding="utf-8").partition(" ")
            is_here = host == socket.gethostname()
            if time.time() - note.stat().st_mtime > LONGEST or (is_here and not psutil.pid_exists(int(number))):
                note.unlink()
        return False
