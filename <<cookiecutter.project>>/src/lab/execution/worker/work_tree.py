"""A lasting checkout of a git repository: what differs is laid out, all else is kept as long as nobody touched it.

It is a repository of its own, whose objects are those of the one it was made of: what a stage does to refs, index or
HEAD stays in it, and goes with the next run.
"""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import time
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path

import pygit2

from lab.execution.worker.cache import Cache, remove
from lab.execution.worker.content import Content, Hashes, Listing, Signature, signature
from lab.execution.worker.errors import Unsupported
from lab.execution.worker.spares import Spares

LINK, SUBMODULE = 0o120000, 0o160000
OWN = ".git"
AGE = 1_000_000_000  # nanoseconds: files are laid out a bit older, so that any change shows in their time


class WorkTree:
    """The checkout at `top`, of commits of the repository `git`. `project` is DVC's project in it."""

    def __init__(self, git: pygit2.Repository, top: Path, prefix: str, note: Path, hashes: Hashes):
        self.git = git
        self.top = top
        self.project = top / prefix if prefix else top
        self._above = f"{prefix}/" if prefix else ""
        self._hashes = hashes
        self._note = note
        self._files: dict[str, tuple[str, int, Signature]] = {}  # of git: path -> blob, mode, as it was laid out
        self._laid: dict[str, tuple[str, Listing]] = {}  # of DVC, from the project on: path -> md5, as laid out
        self._spares = Spares(note.with_name("spare"))
        self._tree = ""
        self.was_written_to = False  # whether the last run wrote to what DVC had laid out
        self._recall()

    # What was laid out before

    def _recall(self) -> None:
        try:
            with self._note.open("rb") as file:
                self._files, self._laid, self._hashes.files = pickle.load(file)
        except (OSError, ValueError, EOFError, pickle.UnpicklingError, AttributeError):
            self._files, self._laid = {}, {}  # all is laid out anew

    def remember(self) -> None:
        """Note what lies here, so that the next process need not lay it out again."""
        beside = self._note.with_suffix(".tmp")
        with beside.open("wb") as file:
            pickle.dump((self._files, self._laid, self._hashes.files), file)
        os.replace(beside, self._note)

    # Laying out

    def lay_out(self, tree: str, head: str, git_config: bytes, refs: dict[str, str], shallow: bytes | None) -> None:
        """Have exactly the files of a tree here, and what DVC laid out before, as far as that is untouched."""
        self._hashes.forget()
        wanted = self._wanted(tree)
        # An output that DVC does not cache lies there as the commit has it, where git knows it.
        self._laid = {place: known for place, known in self._laid.items() if not is_among(wanted, self._above + place)}
        self.top.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.was_written_to = False
        left: set[str] = set()
        self._clean(str(self.top), "", wanted, left)
        self._files = {path: known for path, known in self._files.items() if path in left}
        self._laid = {place: known for place, known in self._laid.items() if self._above + place in left}
        for path, (blob, mode) in wanted.items():
            if path not in self._files:
                self._write(path, blob, mode)
        self._tree = tree
        self._make_repository(head, git_config, refs, shallow)

    def _wanted(self, tree: str) -> dict[str, tuple[str, int]]:
        index = pygit2.Index()
        index.read_tree(self.git[tree])  # type: ignore[arg-type]
        return {entry.path: (str(entry.id), int(entry.mode)) for entry in index}

    def _clean(self, folder: str, prefix: str, wanted: dict[str, tuple[str, int]], left: set[str]) -> bool:
        """Take away what is neither a wanted file nor an untouched output of DVC's, and folders without any.

        Returns whether anything is left, which is in `left`.
        """
        before = len(left)
        with os.scandir(folder) as entries:
            here = list(entries)
        for entry in here:
            path = prefix + entry.name
            if self._is_as_laid(path, Path(entry.path)) or self._is_as_written(path, wanted.get(path), entry):
                left.add(path)
            elif not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif path == OWN or not self._clean(entry.path, f"{path}/", wanted, left):
                remove(Path(entry.path))
        return len(left) > before

    def _is_as_written(self, path: str, wanted: tuple[str, int] | None, entry: os.DirEntry[str]) -> bool:
        known = self._files.get(path)
        if known is None or wanted != known[:2]:
            return False
        return signature(entry) == known[2]

    def _is_as_laid(self, path: str, place: Path) -> bool:
        known = self._laid.get(path.removeprefix(self._above)) if path.startswith(self._above) else None
        if known is None:
            return False
        before, now = known[1], self._looked(place)
        if now is not None and (before == now or sorted(before) == sorted(now)):
            return True
        inodes = {path: sign[0] for path, sign in before}
        # A file was written to that may be a link to DVC's cache.
        self.was_written_to |= any(
            sign[0] and inodes.get(path) == sign[0] for path, sign in set(now or []) - set(before)
        )
        return False

    def _write(self, path: str, blob: str, mode: int) -> None:
        target = self.top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = self.git[blob].data  # type: ignore[union-attr]
        if mode == LINK:
            os.symlink(os.fsdecode(data), target)
        else:
            # As git does it: a new file, which the umask has its say in.
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o777 | 0o222), "wb") as file:
                file.write(data)
            past = time.time_ns() - AGE
            os.utime(target, ns=(past, past))
        self._files[path] = (blob, mode, signature(target))

    def _make_repository(self, head: str, config: bytes, refs: dict[str, str], shallow: bytes | None) -> None:
        """A .git whose HEAD is the commit `head`."""
        own = self.top / OWN
        for folder in ("objects/info", "refs/heads", "info"):
            (own / folder).mkdir(parents=True)
        for name, commit in refs.items():
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_text(f"{commit}\n")
        (own / "HEAD").write_text(f"{head}\n")
        (own / "config").write_bytes(config)
        settings = pygit2.Config(str(own / "config"))
        settings["core.bare"] = False
        if "core.worktree" in settings:
            del settings["core.worktree"]
        (own / "objects/info/alternates").write_text(f"{common_folder(self.git) / 'objects'}\n")
        if shallow is not None:
            (own / "shallow").write_bytes(shallow)
        index = pygit2.Index(str(own / "index"))
        index.read_tree(self.git[self._tree])  # type: ignore[arg-type]
        index.write()

    def lay_out_data(self, cache: Cache, outputs: Mapping[str, Content | None]) -> None:
        """Have these outputs here, as DVC lays them out from its cache, and no others; what it lacks is left out.

        The folders that they lie in are there in any case, also of one that was never made (None).
        """
        for place in [place for place in self._laid if place not in outputs]:
            self._drop(place)
        for place, content in outputs.items():
            if content is None or not self._is_there(cache, place, content):
                self._drop(place)
                if content is not None:
                    self.lay_out_output(cache, place, content)
        for place in outputs:
            (self.project / place).parent.mkdir(parents=True, exist_ok=True)

    def _is_there(self, cache: Cache, place: str, content: Content) -> bool:
        if self._laid.get(place, ("", []))[0] != content.md5 or not cache.holds(content):
            return False
        if content.isexec:
            cache.make_executable(self.project / place)
            self._laid[place] = (content.md5, self._looked(self.project / place) or [])
        return True

    def lay_out_output(self, cache: Cache, place: str, content: Content) -> bool:
        """Lay an output out where nothing is, and remember it with the md5 of its files. Returns whether it could."""
        path = self.project / place
        if cache.holds(content) and self._take_back(place, content.md5):
            return True
        is_there = cache.lay_out(path, content)
        self._hashes.forget_at(path)
        if not is_there:
            return False
        looked = self._looked(path) or []
        self._laid[place] = (content.md5, looked)
        md5s = dict(cache.entries(content.md5) or []) if content.is_folder else {"": content.md5}
        for relative, sign in looked:
            if relative in md5s and cache.is_protected(md5s[relative]):
                self._hashes.learn(sign, md5s[relative])
        return True

    def take_away(self, place: str) -> None:
        """Take away what is there; a folder that is as it was laid out is kept aside."""
        path = self.project / place
        known = self._laid.pop(place, None)
        if known and path.is_dir() and self._looked(path) == known[1]:
            self._spares.keep(path, *known)
        remove(path)
        self._hashes.forget_at(path)

    def _drop(self, place: str) -> None:
        self.take_away(place)
        _remove_empty((self.project / place).parent, self.top)

    def _take_back(self, place: str, md5: str) -> bool:
        """Whether a folder was kept aside, which is here again now."""
        path = self.project / place
        listed = self._spares.take_back(path, md5)
        if listed is None:
            return False
        self._hashes.forget_at(path)
        if self._looked(path) != listed:
            remove(path)
            self._hashes.forget_at(path)
            return False
        self._laid[place] = (md5, listed)
        return True

    def _looked(self, path: Path) -> Listing | None:
        """What is there now: all in a folder, or the one file itself; None where nothing is."""
        try:
            status = os.lstat(path)
            return self._hashes.listing(path) if stat.S_ISDIR(status.st_mode) else [("", signature(path))]
        except FileNotFoundError:
            return None

    # What changed

    @property
    def known(self) -> Mapping[str, object]:
        """The files that git knows, by path from the repository's top on."""
        return self._files

    def links(self) -> list[str]:
        """Those among them that are symbolic links."""
        return [path for path, (_, mode, _) in self._files.items() if mode == LINK]

    def has(self, path: str) -> bool:
        """Whether git knows a file, or files in a folder."""
        return is_among(self._files, path)

    def committed(self, added: Iterable[str]) -> str:
        """The tree of what is here now: of the files that git knows and of those that are `added`."""
        index = pygit2.Index()
        index.read_tree(self.git[self._tree])  # type: ignore[arg-type]
        for path in {*self._files, *added}:
            known = self._files.get(path)
            try:
                status = os.lstat(self.top / path)
            except (FileNotFoundError, NotADirectoryError):
                status = None
            if status is None or stat.S_ISDIR(status.st_mode):
                if known:
                    index.remove(path)
            elif known is None or signature(self.top / path) != known[2]:
                index.add(pygit2.IndexEntry(path, self._blob(path, status), _git_mode(status)))  # type: ignore[arg-type]
        return str(index.write_tree(self.git))

    def _blob(self, path: str, status: os.stat_result) -> pygit2.Oid:
        target = self.top / path
        if stat.S_ISLNK(status.st_mode):
            return self.git.create_blob(os.fsencode(os.readlink(target)))
        return self.git.create_blob(target.read_bytes())

    def find(self, is_wanted: Callable[[str], bool], apart: Container[str]) -> list[str]:
        """Files in the project with such names that git does not know; not those in the folders `apart`."""
        found: list[str] = []

        def look(folder: str, prefix: str) -> None:
            with os.scandir(folder) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if path not in apart and path not in (OWN, ".dvc"):
                            look(entry.path, f"{path}/")
                    elif is_wanted(entry.name) and self._above + path not in self._files:
                        found.append(path)

        look(str(self.project), "")
        return found

    def close(self) -> None:
        """Let go of the repository, with a note of what lies here."""
        self.remember()
        self.git.free()

    def discard(self) -> None:
        """Take the checkout away."""
        shutil.rmtree(self.top, ignore_errors=True)
        self._files, self._laid = {}, {}

    def check(self, tree: str) -> None:
        """Raises Unsupported for trees that need more than their files: submodules, filters."""
        for path, (blob, mode) in self._wanted(tree).items():
            if mode == SUBMODULE:
                raise Unsupported(f"submodule {path}")
            if path.rpartition("/")[2] == ".gitattributes":
                _check_attributes(path, self.git[blob].data.decode(errors="replace"))  # type: ignore[union-attr]


def common_folder(git: pygit2.Repository) -> Path:
    """Where a repository's objects, config and refs lie, also that of a linked work tree."""
    own = Path(git.path)
    link = own / "commondir"
    return (own / link.read_text().strip() if link.exists() else own).resolve()


def _check_attributes(path: str, text: str) -> None:
    filters = {"text", "eol", "crlf", "filter", "ident", "working-tree-encoding"}
    for line in text.splitlines():
        names = {word.lstrip("-!").partition("=")[0] for word in line.split()[1:]}
        if not line.startswith("#") and names & filters:
            raise Unsupported(f"{path}: {line}")


def _git_mode(status: os.stat_result) -> int:
    if stat.S_ISLNK(status.st_mode):
        return LINK
    return 0o100755 if status.st_mode & stat.S_IXUSR else 0o100644


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def is_among(files: Mapping[str, object], path: str) -> bool:
    """Whether a file is among others, or a folder of theirs."""
    below = f"{path}/"
    return path in files or any(known.startswith(below) for known in files)
