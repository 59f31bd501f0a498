"""What was worked out of commits, kept on disk by content: a command works out what is new, and looks up the rest.

.dvc/tmp/lab/kept/ has a SQLite file for each version of the code, of the contract and of whatever else it depends on;
the rows in it never become wrong, since a commit never changes. It may be deleted at any time. One that is damaged,
locked, or not ours is done without, and nobody hears of it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

LAB = Path(__file__).parents[1]
CODE = (
    "contract",
    "design",
    "execution/stage_imports.py",
    "records",
    "git.py",
    "git_objects.py",
    "git_refs.py",
    "nested_keys.py",
    "study.py",
    "yaml12.py",
)  # what works it out
LARGEST = 256 * 2**20  # bytes; then the older half goes
VERSIONS = 3  # files that are kept: a branch may have another contract
BATCH = 2_000  # rows that wait to be written
AT_ONCE = 500  # rows that are read together, of keys that are expected
PATIENCE = 2.0  # seconds to wait for another process that writes
TABLE = "CREATE TABLE IF NOT EXISTS kept (part TEXT, key TEXT, value TEXT, mark INTEGER, UNIQUE (part, key))"
ELSEWHERE = {  # SQLite's codes for what is no fault of the file: somebody writes, or the disk can't be written to
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


@cache
def version_of_code(*names: str) -> str:
    """A hash of sources: left out, of those by which a study is worked out."""
    found = hashlib.sha256()
    for place in (LAB / name for name in names or CODE):
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(path.read_bytes())
    return found.hexdigest()


class Kept:
    """JSON values by a part's name and a key, in a file for all that they `depend` on beside their keys."""

    def __init__(self, folder: Path, *depend: str):
        name = hashlib.sha256("\0".join([version_of_code(), *depend]).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.sqlite"
        self._new: dict[tuple[str, str], str] = {}
        self._expected: Sequence[str] = ()
        self._places: dict[str, int] = {}  # of the expected keys
        self._ahead: dict[tuple[str, str], tuple[Any, Any]] = {}  # values and marks that nobody has asked for yet
        self._seen: set[tuple[str, int]] = set()  # by part, which of the expected keys have been read together
        self._file: sqlite3.Connection | None = None
        if self.path.is_file():
            self._open()

    def get(self, part: str, key: str) -> Any:
        """The value, or None where there is none."""
        text = self._new.get((part, key)) or self._read(part, key)
        return None if text is None else json.loads(text)

    def put(self, part: str, key: str, value: Any) -> None:
        """Keep a value. What JSON can't write, or would write so that it is read as something else, is left out."""
        with suppress(TypeError, ValueError):
            text = json.dumps(value, ensure_ascii=False)
            if json.loads(text) == value:
                self._new[part, key] = text
        if len(self._new) >= BATCH:
            self.save()

    def find(self, part: str, key: str, work_out: Callable[[], Any]) -> Any:
        """The value that is kept or, where there is none, what is worked out, which is kept from now on."""
        known = self.get(part, key)
        if known is None:
            known = work_out()
            self.put(part, key, known)
        return known

    def save(self) -> None:
        """Write what is new; what can't be written is worked out again another time."""
        if self._new and self._file is None and self.path.parents[3].is_dir():
            self._create()
        if self._new and self._file is not None:
            rows = [(part, key, text, _mark(part, key, text)) for (part, key), text in self._new.items()]
            with self._trouble_is_ours(), self._file as file:
                file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)
                _make_room(file)
        self._new = {}

    def expect(self, keys: Sequence[str]) -> None:
        """Keys that parts are going to be asked for, about in this order: hundreds of them are read at once."""
        self._expected, self._places = keys, {key: place for place, key in enumerate(keys)}
        self._ahead, self._seen = {}, set()

    def _read(self, part: str, key: str) -> str | None:
        value, mark = self._ahead.pop((part, key), None) or self._look_up(part, key)
        return value if isinstance(value, str) and mark == _mark(part, key, value) else None

    def _look_up(self, part: str, key: str) -> tuple[Any, Any]:
        """A row's value and mark, or two times None; and its neighbours, where the key is expected."""
        keys, block = [key], self._places.get(key, -1) // AT_ONCE
        if block >= 0 and (part, block) not in self._seen:
            self._seen.add((part, block))
            keys = [*self._expected[block * AT_ONCE : (block + 1) * AT_ONCE]]
        if self._file is not None:
            with self._trouble_is_ours():
                marks = ", ".join("?" * len(keys))
                found = self._file.execute(
                    f"SELECT key, value, mark FROM kept WHERE part = ? AND key IN ({marks})", (part, *keys)
                )
                self._ahead |= {(part, known): (value, mark) for known, value, mark in found}
        return self._ahead.pop((part, key), (None, None))

    def _open(self) -> None:
        with self._trouble_is_ours():
            self._file = sqlite3.connect(self.path, timeout=PATIENCE)
            with self._file as file:
                file.execute(TABLE)

    def _create(self) -> None:
        """An empty file, in the place of the version that was written to longest ago."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            others = sorted(self.path.parent.glob("*.sqlite"), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in [path for path in others if path != self.path][VERSIONS - 1 :]:
                _remove(path)
            self._open()

    @contextmanager
    def _trouble_is_ours(self) -> Iterator[None]:
        """After an error the file is done without; one that is damaged is thrown away."""
        try:
            yield
        except sqlite3.Error as error:
            if self._file is not None:
                with suppress(sqlite3.Error):
                    self._file.close()
            self._file = None
            if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in ELSEWHERE:
                with suppress(OSError):
                    _remove(self.path)


def _make_room(file: sqlite3.Connection) -> None:
    """Let the older half go where the file has become too large."""
    pages, free, size = (
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size > LARGEST:
        file.execute("DELETE FROM kept WHERE rowid <= (SELECT (min(rowid) + max(rowid)) / 2 FROM kept)")


def _remove(path: Path) -> None:
    """A file of SQLite's, with the journal that belongs to it."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _mark(part: str, key: str, text: str) -> int:
    """What tells a row that was damaged."""
    return crc32(f"{part}\0{key}\0{text}".encode())
