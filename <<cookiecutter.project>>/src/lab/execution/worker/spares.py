"""Folders laid out of DVC's cache and taken away again, kept beside the checkout in case that a run wants them.

With ten thousand files, a folder that goes from place to place is there at once, where each link would be made anew.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from lab.execution.worker.cache import remove
from lab.execution.worker.content import Listing

LINKS, COPIES = 4, 1  # folders kept at most: copies take room


class Spares:
    """Such folders below `folder`, by their md5, with what they held when they were kept."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._kept: dict[str, Listing] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def keep(self, path: Path, md5: str, listed: Listing) -> None:
        """Take what lies at `path`, which holds what is `listed`; the oldest go."""
        place = self._folder / md5
        self._folder.mkdir(exist_ok=True)
        remove(place)
        path.rename(place)
        self._kept.pop(md5, None)
        self._kept[md5] = listed
        while len(self._kept) > (LINKS if _is_of_links(place, listed) else COPIES):
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            remove(self._folder / oldest)

    def take_back(self, path: Path, md5: str) -> Listing | None:
        """Have a folder at `path`, where nothing is. Returns what it held; None where it isn't kept."""
        listed = self._kept.pop(md5, None)
        if listed is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            (self._folder / md5).rename(path)
        return listed


def _is_of_links(folder: Path, listed: Listing) -> bool:
    """Whether its files are links to DVC's cache, by the first of them."""
    first = next((path for path, sign in listed if sign[2]), None)  # an empty file is never linked
    if first is None:
        return True
    status = os.lstat(folder / first)
    return stat.S_ISLNK(status.st_mode) or status.st_nlink > 1
