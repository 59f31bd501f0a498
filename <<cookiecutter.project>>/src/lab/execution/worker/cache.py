"""DVC's cache of files: objects named by md5, put in and laid out with the links that `cache.type` names.

What is done, and in which order, follows `dvc_data.hashfile` (db/local.py, checkout.py and transfer.py of 3.18), so
that modes and links come out as DVC leaves them. Objects appear whole: they are written beside and renamed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from dvc_objects.fs.generic import test_links, transfer
from dvc_objects.fs.local import localfs
from dvc_objects.fs.utils import copyfile, tmp_fname

from lab.execution.worker.content import Content, Hashes, Listing, folder_listing, listing, loaded

READ_ONLY = 0o444
ALIKE = 5  # how often an object may be replaced by its like while it is linked
KNOWN = 64  # folders whose listings are kept at most
UMASK = os.umask(0)
os.umask(UMASK)


class Cache:
    """The objects below `folder` (…/files/md5). `types` is DVC's cache.type, `shared` whether its group may write."""

    def __init__(self, folder: Path, types: list[str], shared: bool, hashes: Hashes):
        self.folder = folder
        self.types = self.output_types = types
        self.shared = shared
        self.file_mode = 0o664 if shared else 0o666 & ~UMASK
        self.folder_mode = 0o2775 if shared else 0o777 & ~UMASK
        self._hashes = hashes
        self._trees: dict[str, list[tuple[str, str]]] = {}
        self._held: dict[str, dict[str, int]] = {}  # a folder's md5 -> when the parts of the cache last changed
        self._checked: dict[str, dict[str, int]] = {}
        self._added: dict[str, tuple[str, list[str], Listing]] = {}  # folders: path -> md5, types, listing from then on
        self._links: list[str] | None = None

    def path(self, md5: str) -> Path:
        """Where an object lies."""
        return self.folder / md5[:2] / md5[2:]

    def is_linked(self, path: Path) -> bool:
        """Whether a symbolic link leads to an object."""
        return Path(os.readlink(path)).parent.parent == self.folder

    # What is there

    def entries(self, md5: str) -> list[tuple[str, str]] | None:
        """The files of a folder's object and their md5; None where there is no such object."""
        if md5 not in self._trees:
            try:
                self._trees[md5] = list(loaded(self.path(md5).read_bytes()))
            except (FileNotFoundError, ValueError):
                return None
            if len(self._trees) > KNOWN:
                del self._trees[next(iter(self._trees))]
        return self._trees[md5]

    def forget(self) -> None:
        """Look at all objects again: a stage may have written to one through a link."""
        self._held.clear()
        self._checked.clear()
        self._added.clear()

    def is_protected(self, md5: str) -> bool:
        """Whether an object is there that nobody can have written to without ado."""
        try:
            return stat.S_IMODE(os.stat(self.path(md5)).st_mode) == READ_ONLY
        except FileNotFoundError:
            return False

    def holds(self, content: Content) -> bool:
        """Whether an object's file is there, and all that belong to it, in whatever state."""
        return self._all(content, self._held, lambda md5: self.path(md5).is_file())

    def has(self, content: Content) -> bool:
        """Whether an object is there and whole, and all that belongs to it."""
        return self._all(content, self._checked, self._check)

    def _all(self, content: Content, known: dict[str, dict[str, int]], check: Callable[[str], bool]) -> bool:
        """Whether an object and a folder's files pass. Only parts of the cache that changed are looked at again."""
        if not content.is_folder:
            return check(content.md5)
        entries = self.entries(content.md5)
        if entries is None:
            return False
        if len(known) > KNOWN:
            known.clear()
        before, now = known.get(content.md5, {}), {}
        for part in {md5[:2] for _, md5 in entries}:
            try:
                now[part] = os.stat(self.folder / part).st_mtime_ns
            except FileNotFoundError:
                return False
        fine = all(check(md5) for _, md5 in entries if before.get(md5[:2]) != now[md5[:2]])
        known[content.md5] = now if fine else {}
        return fine and check(content.md5)

    def _check(self, md5: str) -> bool:
        """Whether one object is there and whole. What can be written to is read, and removed where it has changed."""
        path = self.path(md5)
        try:
            mode = os.stat(path).st_mode
            if stat.S_IMODE(mode) == READ_ONLY:
                return True
            is_whole = self._hashes.content(path).md5 == md5.removesuffix(".dir")
        except FileNotFoundError:
            return False
        if not is_whole:
            path.unlink(missing_ok=True)
            return False
        self._protect(path)
        return True

    # In

    def add(self, path: Path, content: Content, entries: list[tuple[str, str]], types: list[str]) -> None:
        """Put in what lies at `path`, and link it from there as `types` says."""
        hardlink = types[0] == "hardlink"
        if content.is_folder:
            if self._is_added(path, content, types):
                return
            for relative, md5 in entries:
                self._put(path / relative, md5, hardlink)
            self._write(content.md5, folder_listing(entries))
            for relative, md5 in entries:
                if self._needs_link(path / relative, md5, types):
                    self._relink(path / relative, md5, types)
            self._hashes.forget_at(path)
            self._added[str(path)] = (content.md5, types, self._hashes.listing(path))
            return
        self._put(path, content.md5, hardlink)
        status = os.stat(path, follow_symlinks=False)
        if types[0] == "copy" and not stat.S_ISLNK(status.st_mode) and status.st_nlink == 1:
            os.chmod(path, self.file_mode)
        else:
            self._relink(path, content.md5, types)
        if content.isexec:
            self.make_executable(path)
        self._hashes.forget_at(path)

    def _is_added(self, path: Path, content: Content, types: list[str]) -> bool:
        """Whether a folder lies there as it was after it had been put in, and is still in the cache as well."""
        known = self._added.get(str(path))
        return known == (content.md5, types, self._hashes.listing(path)) and self.has(content)

    def _put(self, source: Path, md5: str, hardlink: bool) -> None:
        target = self.path(md5)
        if self._check(md5):
            return
        self._make_folder(target.parent)
        beside = target.parent / tmp_fname()
        links = ["reflink", "hardlink", "copy"] if hardlink else ["reflink", "copy"]
        try:
            transfer(localfs, str(source), localfs, str(beside), links=links)
            self._protect(beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)

    def _write(self, md5: str, data: bytes) -> None:
        target = self.path(md5)
        if self._check(md5):
            return
        self._make_folder(target.parent)
        write_whole(target, data, READ_ONLY)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            from dvc_objects.fs.utils import makedirs

            makedirs(str(folder), exist_ok=True, mode=self.folder_mode)

    def _needs_link(self, path: Path, md5: str, types: list[str]) -> bool:
        status = os.stat(path, follow_symlinks=False)
        is_link = stat.S_ISLNK(status.st_mode)
        is_copy = not is_link and status.st_nlink == 1
        for kind in types:
            if kind in ("copy", "reflink") and is_copy:
                return False
            if kind == "hardlink" and status.st_nlink > 1:
                return status.st_ino != os.stat(self.path(md5)).st_ino
            if kind == "symlink" and is_link:
                return os.readlink(path) != str(self.path(md5))
        return True

    def _relink(self, path: Path, md5: str, types: list[str]) -> None:
        path.unlink()
        self._link(path, md5, types)
        self._protect(self.path(md5))

    def settle_types(self, laid: Iterable[Content | None], path: Path) -> None:
        """Decide how outputs are linked from now on, of a run whose data was `laid` out at and beside `path`.

        DVC goes by its settings, but for the kinds that the first file which it laid out has shown not to work here:
        `dvc_data.index.checkout` gives its own list away, and `dvc_objects.fs.generic.transfer` shortens it.
        """
        self.output_types = self.types
        if any(self._holds_any(content) for content in laid if content is not None):
            self.output_types = self.types[self.types.index(self._working(path)[0]) :]

    def _holds_any(self, content: Content) -> bool:
        files = self.entries(content.md5) or [] if content.is_folder else [("", content.md5)]
        return any(self.path(md5).is_file() for _, md5 in files)

    def _working(self, path: Path) -> list[str]:
        """The kinds of link that work between the cache and `path`."""
        if self._links is None:
            self._links = test_links(list(self.types), localfs, str(self.folder), localfs, str(path))
        return self._links

    # Out

    def lay_out(self, path: Path, content: Content) -> bool:
        """Lay an object out at `path`, where nothing is. Returns whether it could; where not, nothing is there."""
        try:
            if content.is_folder:
                entries = self.entries(content.md5)
                if entries is None:
                    return False
                path.mkdir(parents=True, exist_ok=True)
                for folder in {relative.rpartition("/")[0] for relative, _ in entries}:
                    (path / folder).mkdir(parents=True, exist_ok=True)
                for relative, md5 in entries:
                    self._link(path / relative, md5, self.types)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._link(path, content.md5, self.types)
        except FileNotFoundError:
            remove(path)
            return False
        if not content.is_folder and content.isexec:
            self.make_executable(path)
        return True

    def _link(self, path: Path, md5: str, types: list[str]) -> None:
        if types == self.types:
            types = self._working(path)
        for patience in range(ALIKE, -1, -1):
            try:
                transfer(localfs, str(self.path(md5)), localfs, str(path), links=list(types))
                break
            except FileNotFoundError:
                # Another worker has put the same object in its place meanwhile: link(2) finds a file without any link.
                if not patience or not self.path(md5).exists():
                    raise

    def unprotect(self, path: Path) -> None:
        """Make what lies there the stage's own, to be written to."""
        files = [path / name for name, _ in listing(path) if not name.endswith("/")] if path.is_dir() else [path]
        for file in files:
            status = os.stat(file, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode) or status.st_nlink > 1:
                beside = file.parent / tmp_fname()
                copyfile(str(file), str(beside))
                os.replace(beside, file)
            os.chmod(file, self.file_mode)

    @staticmethod
    def make_executable(path: Path) -> None:
        """Let the owner execute it."""
        os.chmod(path, os.stat(path).st_mode | stat.S_IEXEC)

    @staticmethod
    def _protect(path: Path) -> None:
        with suppress(OSError):  # another's file in a shared cache
            os.chmod(path, READ_ONLY)


def write_whole(target: Path, data: bytes, mode: int, beside: Path | None = None) -> None:
    """Write a file that is there whole or not at all, by way of one in the folder `beside`. Raises OSError."""
    beside = (beside or target.parent) / tmp_fname()
    try:
        with beside.open("xb") as file:
            file.write(data)
        os.chmod(beside, mode)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Take away what is there, if anything: a file, a link or a folder with all in it."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except NotADirectoryError:
        pass
