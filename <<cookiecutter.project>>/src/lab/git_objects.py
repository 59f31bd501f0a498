"""What a commit holds: files and folders, read from git's objects without touching the work tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import Option

from lab.errors import UserError

# Thousands of experiments are read once: what libgit2 would keep of their objects is memory for nothing, as is most of
# what it would map of their pack.
pygit2.option(Option.ENABLE_CACHING, False)
pygit2.option(Option.SET_MWINDOW_SIZE, 2**20)
pygit2.option(Option.SET_MWINDOW_MAPPED_LIMIT, 80 * 2**20)

MOST_BYTES = 16 * 2**20  # of a text that is read: a blob in git may be larger than memory


class Unreadable(UserError):
    """A file that git has, and that is no text, or too large to be one."""


class Lost(UserError):
    """What git should have here and has not, or only damaged: a fetch may bring it back."""


class Objects:
    """The objects of the repository `git`, which the project at `root` lies in. Paths are the project's."""

    def __init__(self, root: Path, git: pygit2.Repository):
        self.root, self._git = root, git
        workdir = Path(git.workdir or root).resolve()
        self.prefix = PurePosixPath(root.resolve().relative_to(workdir).as_posix())
        """Where the project lies inside its repository: `.`, or the folder of a project in a larger repository."""
        self._parts = lru_cache(maxsize=10_000)(self._parts_of)
        self._listing = lru_cache(maxsize=2_000)(self._listing_of)  # commits share most of their folders
        self._roots: dict[str, str] = {}

    def tree(self, commit: str) -> str:
        """The id of a commit's tree."""
        return str(self._commit(commit).tree_id)

    def _commit(self, commit: str) -> pygit2.Commit:
        return self._git[commit].peel(pygit2.Commit)

    def object_id(self, commit: str, path: str) -> str | None:
        """The id of a file or folder, which changes with its content; None where there is none."""
        try:
            entry = self._roots.get(commit) or self._roots.setdefault(commit, self.tree(commit))
        except (KeyError, ValueError, pygit2.GitError):  # a commit that this clone lacks, or what is none
            return None
        for part in self._parts(path):
            found = self._listing(entry).get(part)
            if found is None:
                return None
            entry = found
        return entry

    def _parts_of(self, path: str) -> tuple[str, ...]:
        """The names that lead from the repository's root to a path of the project."""
        return (self.prefix / path).parts

    def _listing_of(self, tree: str) -> dict[str, str]:
        """The ids of what a folder holds, by name; nothing where it is a file."""
        entry = self._git.get(tree)
        return {str(item.name): str(item.id) for item in entry} if isinstance(entry, pygit2.Tree) else {}

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's content; None where there is none."""
        entry = self._object(commit, path)
        return entry.data if isinstance(entry, pygit2.Blob) else None

    def size(self, commit: str, path: str) -> int:
        """The bytes of a file, which is not read; 0 where there is none."""
        entry = self.object_id(commit, path)
        kind, size = self._header(entry) if entry else ("", 0)
        return size if kind == "blob" else 0

    def kind(self, name: str) -> str:
        """What an object is, by its full hash: commit, tree, blob or tag; empty where git has none that is sound."""
        return self._header(name)[0]

    def _header(self, name: str) -> tuple[str, int]:
        try:
            kind, size = self._git.odb.read_header(pygit2.Oid(hex=name))
        except (KeyError, ValueError, pygit2.GitError):
            return "", 0
        return kind.name.lower(), size

    def text(self, commit: str, path: str) -> str:
        """A text file's content; empty where there is none. Raises Unreadable and Lost."""
        entry, where = self.object_id(commit, path), f"{path} of {commit[:7]}"
        if entry is None:
            return ""
        kind, size = self._header(entry)
        if kind == "tree":
            return ""
        if size > MOST_BYTES:
            raise Unreadable(f"{where} has {size / 2**20:,.0f} MB: more than {MOST_BYTES // 2**20} are not read")
        try:
            return (self.read(commit, path) or b"").decode() if kind else self._lost(where)
        except UnicodeDecodeError as error:
            raise Unreadable(f"{where} is no text in UTF-8: byte {error.start + 1} is none") from error
        except pygit2.GitError as error:
            raise Lost(f"{where} is damaged in git: {error}") from error

    def _lost(self, where: str) -> str:
        raise Lost(f"{where} is not in git any more, or damaged there: git fsck")

    def names(self, commit: str, folder: str) -> list[str]:
        """What a folder holds, by name; nothing where there is none."""
        entry = self._object(commit, folder)
        return [str(item.name) for item in entry] if isinstance(entry, pygit2.Tree) else []

    def files(self, commit: str, path: str) -> Iterator[tuple[str, str]]:
        """The path and the id of a file, or of each file below a folder."""
        entry = self._object(commit, path)
        if isinstance(entry, pygit2.Tree):
            for item in entry:
                yield from self.files(commit, f"{path}/{item.name}")
        elif entry is not None:
            yield path, str(entry.id)

    def extract(self, commit: str, paths: Iterable[str], folder: Path) -> None:
        """Write these files and folders below `folder`; what the commit has not is left out."""
        for path in paths:
            for file, _ in self.files(commit, path):
                target = folder / file
                if ".." in target.parts:  # git itself makes no such tree
                    raise UserError(f"{commit[:7]} has a path that leads out of its folder: {file!r}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read(commit, file) or b"")

    def _object(self, commit: str, path: str) -> pygit2.Object | None:
        entry = self.object_id(commit, path)
        return self._git.get(entry) if entry is not None else None
