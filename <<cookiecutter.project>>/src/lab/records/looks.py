"""Whether git has changed since the last look: for those who look again and again, and read where something has."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable
from contextlib import suppress

from lab.git import Repository

SETTLED = 2.5  # seconds: no file system's times are coarser


def state(git: Repository) -> Hashable:
    """What changes when HEAD or an experiment's ref does; no ref is read.

    Git replaces the file of a ref, which its folder's time tells, and all packed refs at once. While a time is so young
    that a second change might have the same, this equals no other.
    """
    stats = []
    folders = [str(git.common / "refs" / "exps")]
    with suppress(FileNotFoundError):
        stats.append(os.stat(git.common / "packed-refs"))
    for folder in folders:
        with suppress(FileNotFoundError):  # git removes empty ones
            stats.append(os.stat(folder))
            if folder.count(os.sep) < folders[0].count(os.sep) + 2:  # refs/exps/ab/cdef…/NAME
                folders += sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
    latest = max((stat.st_mtime for stat in stats), default=0)
    seen = (git.head, *folders, *((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats))
    return seen if time.time() - latest > SETTLED else object()
