"""What files and folders hold, by md5, as DVC counts it: files that did not change are not read again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

RACY = 50_000_000  # nanoseconds: a file changed so shortly before it was read may change again within one clock tick
FORGOTTEN = 500_000  # files of which the md5 is kept at most

# inode, time of the last change [ns], size [bytes], mode: what tells that a file is still the same
Signature = tuple[int, int, int, int]
NO_SIGNATURE = (0, 0, 0, 0)
Listing = list[tuple[str, Signature]]  # a folder's files, by their path in it
Filter = Callable[[str, list[str], list[str]], tuple[list[str], list[str]]]  # (folder, folders, files) -> those left


class Irregular(Exception):
    """A link, socket or pipe where a file should be."""


class Content(NamedTuple):
    """A file's or folder's content as dvc.lock has it; `nfiles` is None for a file, `size` in bytes."""

    md5: str
    size: int | None = None
    nfiles: int | None = None
    isexec: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder's."""
        return self.md5.endswith(".dir")

    @classmethod
    def from_lock(cls, item: dict[str, Any]) -> Content | None:
        """What an entry of dvc.lock or a .dvc file says; None where it says nothing."""
        if not item.get("md5"):
            return None
        return cls(item["md5"], item.get("size"), item.get("nfiles"), item.get("isexec", False))

    def to_lock(self) -> dict[str, Any]:
        """Its part of an entry of dvc.lock, in DVC's order."""
        values = {"hash": "md5", "md5": self.md5, "size": self.size, "nfiles": self.nfiles}
        return {name: value for name, value in values.items() if value is not None} | (
            {"isexec": True} if self.isexec else {}
        )


def signature(path: Path | os.DirEntry[str]) -> Signature:
    """What tells whether a file is still the same; of a link, that of its target, as it is the link's content.

    Raises FileNotFoundError.
    """
    here = path.stat(follow_symlinks=False)
    mode = here.st_mode
    if stat.S_ISLNK(mode):
        with suppress(FileNotFoundError):
            here = path.stat()
    return here.st_ino, here.st_mtime_ns, here.st_size, mode


def is_executable(mode: int) -> bool:
    """Whether anybody may execute a file."""
    return bool(mode & 0o111)


def listing(folder: Path) -> Listing:
    """All below a folder, in no particular order: files, and folders with a slash at the end and no signature.

    Links are listed as such.
    """
    found: Listing = []
    _list(str(folder), "", found)
    return found


def _list(folder: str, prefix: str, found: Listing) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                name = f"{prefix}{entry.name}/"
                found.append((name, NO_SIGNATURE))
                _list(entry.path, name, found)
            else:
                found.append((prefix + entry.name, signature(entry)))


def _filtered(folder: str, found: Listing, kept: Filter) -> Listing:
    """The files of a listing that count."""
    folders: dict[str, tuple[list[str], dict[str, Signature]]] = {"": ([], {})}
    for path, sign in found:
        above, _, name = path.rstrip("/").rpartition("/")
        if path.endswith("/"):
            folders[path[:-1]] = ([], {})
            folders[above][0].append(name)
        else:
            folders[above][1][name] = sign
    left: Listing = []

    def look(path: str) -> None:
        inner, files = folders[path]
        inner, names = kept(f"{folder}/{path}" if path else folder, inner, list(files))
        above = f"{path}/" if path else ""
        left.extend((above + name, files[name]) for name in names)
        for name in inner:
            look(above + name)

    look("")
    return left


class _Folder(NamedTuple):
    """What is known of a folder: what it held, and what that comes to."""

    found: Listing
    kept: Filter | None
    content: Content
    entries: list[tuple[str, str]]
    is_settled: bool  # whether no file was changed too shortly before it was read


class Hashes:
    """The md5 of files and folders: a file is read once for each inode, time and size that it has had.

    A folder's sum is kept until `forget` is called, which says that a command has run, and then until its listing has
    changed. `is_own` tells links to DVC's cache from others, which are refused.
    """

    def __init__(self, is_own: Callable[[Path], bool] = lambda path: False):
        self.files: dict[tuple[int, int, int], str] = {}
        self._is_own = is_own
        self._age = 0
        self._folders: dict[str, _Folder] = {}
        self._listings: dict[str, tuple[int, Listing]] = {}

    def forget(self) -> None:
        """Look at everything anew: something may have changed."""
        self._age += 1
        if len(self.files) > FORGOTTEN:
            self.files.clear()

    def forget_at(self, path: Path) -> None:
        """Look anew at what lies there, below and above: this process has changed it."""
        here = str(path)
        for name in list(self._listings):
            if f"{name}/".startswith(f"{here}/") or here.startswith(f"{name}/"):
                del self._listings[name]

    def content(self, path: Path, kept: Filter | None = None) -> Content:
        """What lies there. Raises FileNotFoundError, Irregular."""
        sign = signature(path)
        if stat.S_ISDIR(sign[3]):
            return self._folder(path, kept).content
        if stat.S_ISLNK(sign[3]) and self._is_own(path) and not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))  # DVC's cache lacks it
        md5 = self.md5(path, sign)
        mode = os.stat(path).st_mode if stat.S_ISLNK(sign[3]) else sign[3]
        return Content(md5, sign[2], None, is_executable(mode))

    def entries(self, path: Path, kept: Filter | None = None) -> list[tuple[str, str]]:
        """A folder's files and their md5."""
        return self._folder(path, kept).entries

    def listing(self, path: Path) -> Listing:
        """All below a folder, looked at once until something may have changed."""
        name = str(path)
        known = self._listings.get(name)
        if known is None or known[0] != self._age:
            known = self._listings[name] = (self._age, listing(path))
        return known[1]

    def _folder(self, path: Path, kept: Filter | None) -> _Folder:
        name = str(path)
        found = self.listing(path)
        known = self._folders.get(name)
        if known and known.kept is kept and known.is_settled and (known.found is found or known.found == found):
            return known
        files = (
            [item for item in found if item[1] is not NO_SIGNATURE] if kept is None else _filtered(name, found, kept)
        )
        entries = [(relative, self.md5(path / relative, sign)) for relative, sign in files]
        size = sum(sign[2] for _, sign in files)
        is_settled = all(sign[:3] in self.files for _, sign in files)
        content = Content(folder_md5(entries), size, len(entries))
        self._folders[name] = _Folder(found, kept, content, entries, is_settled)
        return self._folders[name]

    def md5(self, path: Path, sign: Signature) -> str:
        """A file's md5. Raises Irregular."""
        inode, changed, size, mode = sign
        if stat.S_ISLNK(mode):
            if not self._is_own(path) or not path.is_file():
                raise Irregular(f"{path} is a symbolic link")
        elif not stat.S_ISREG(mode):
            raise Irregular(f"{path} is neither a file nor a folder")
        key = (inode, changed, size)
        md5 = self.files.get(key)
        if md5 is None:
            began = time.time_ns()
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if began - changed > RACY:
                self.files[key] = md5
        return md5

    def learn(self, sign: Signature, md5: str) -> None:
        """Note the md5 of a file that was laid out."""
        if time.time_ns() - sign[1] > RACY:
            self.files[sign[:3]] = md5


def folder_listing(entries: list[tuple[str, str]]) -> bytes:
    """A folder's object in DVC's cache."""
    items = [{"md5": md5, "relpath": path} for path, md5 in sorted(entries)]
    return json.dumps(items, sort_keys=True).encode()


def folder_md5(entries: list[tuple[str, str]]) -> str:
    """A folder's md5."""
    return hashlib.md5(folder_listing(entries), usedforsecurity=False).hexdigest() + ".dir"


def loaded(listing: bytes) -> Iterator[tuple[str, str]]:
    """The files of a folder's object and their md5. Raises ValueError where it is none."""
    items = json.loads(listing)
    if not isinstance(items, list):
        raise ValueError("not a folder's object")
    for item in items:
        yield item["relpath"], item["md5"]
