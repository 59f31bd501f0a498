"""What lies on a remote of DVC's: its size, its lists of folders, and how it is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lab.errors import UserError


class Remote:
    """A remote of DVC's called `name`, a folder or a bucket, by DVC's own access to it."""

    def __init__(self, name: str, odb: Any):
        self.name, self._odb = name, odb

    def sizes(self) -> dict[str, int]:
        """How many bytes each file there has, by its hash. Raises UserError."""
        with self._told():
            if not self._odb.fs.exists(self._odb.path):
                return {}
            found = self._odb.fs.fs.find(self._odb.path, detail=True)
            if not isinstance(found, dict):  # of a folder DVC's own way gives the paths alone
                paths = list(found)
                found = dict(zip(paths, self._odb.fs.info(paths), strict=True))
        sizes = {}
        for path, info in found.items():
            with suppress(ValueError):  # something else that lies there
                sizes[self._odb.path_to_oid(path)] = int(info.get("size") or 0)
        return sizes

    def listing(self, md5: str) -> list[str] | None:
        """The hashes of a folder's files; None where its list is not there. Raises UserError."""
        with self._told():
            try:
                with self._odb.fs.open(self._odb.oid_to_path(md5), "rb") as file:
                    return [entry["md5"] for entry in json.load(file)]
            except FileNotFoundError:
                return None

    def remove(self, hashes: Iterable[str]) -> None:
        """Delete files there: first lists of folders, since DVC takes a list for all of its files. Raises UserError."""
        from dvc_data.hashfile.db import get_index

        with self._told():
            get_index(self._odb).clear()  # what this machine believes to be there
            for batch in by_kind(hashes):
                if batch:
                    self._odb.fs.remove([self._odb.oid_to_path(md5) for md5 in batch])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # every kind of remote has errors of its own
            raise UserError(f"DVC's remote {self.name}: {error}") from error


def by_kind(hashes: Iterable[str]) -> tuple[list[str], list[str]]:
    """Lists of folders, and files."""
    known = sorted(hashes)
    return [md5 for md5 in known if md5.endswith(".dir")], [md5 for md5 in known if not md5.endswith(".dir")]
