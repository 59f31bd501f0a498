"""What DVC does not look at (.dvcignore), and what git does not (.gitignore): by the libraries that DVC asks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.execution.worker.content import Irregular
from lab.execution.worker.errors import Unsupported

FILE = ".dvcignore"


class DvcIgnore:
    """The .dvcignore of a project, as a filter of what its folders hold."""

    def __init__(self, project: Path):
        from dvc.fs import localfs
        from dvc.ignore import DvcIgnoreFilter

        self._project = project
        self._filter = DvcIgnoreFilter(localfs, str(project))

    def __call__(self, folder: str, folders: list[str], files: list[str]) -> tuple[list[str], list[str]]:
        """Those folders and files that count. Raises Irregular for a .dvcignore where DVC wants none."""
        if FILE in files:
            raise Irregular(f"{folder} holds a {FILE}")
        return self._filter(folder, list(folders), list(files))

    def check(self, path: str) -> None:
        """Raises Unsupported where an output is ignored."""
        from dvc.fs import localfs

        if self._filter.is_ignored(localfs, str(self._project / path), ignore_subrepos=False):
            raise Unsupported(f"output {path!r} is in {FILE}")


class GitIgnore:
    """The .gitignore files of a repository checked out at `top`."""

    def __init__(self, top: Path):
        self._top = top
        self._manager = None

    def forget(self) -> None:
        """Read them again: a command has run."""
        self._manager = None

    def __contains__(self, path: str) -> bool:
        """Whether a path from the top on is ignored."""
        from dulwich.ignore import IgnoreFilterManager
        from dulwich.repo import Repo

        if self._manager is None:
            with Repo(str(self._top)) as repo:
                self._manager = IgnoreFilterManager.from_repo(repo)
        return bool(self._manager.is_ignored(path))

    def add(self, path: str) -> str | None:
        """Have an output ignored, in DVC's way of writing it. Returns the .gitignore that was changed for it."""
        from scmrepo.git import GitWildMatchPattern

        if path in self:
            return None
        folder, _, name = path.rpartition("/")
        entry = GitWildMatchPattern.escape(f"/{name}")
        file = self._top / folder / ".gitignore"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        line = f"{entry}\n" if not text or text.endswith("\n") else f"\n{entry}\n"
        if line not in text.splitlines(keepends=True):
            with file.open("a", encoding="utf-8") as written:
                written.write(line)
        self.forget()
        return os.path.join(folder, ".gitignore")

    def untracked(self, path: str, tracked: Iterable[str], apart: Iterable[str]) -> Iterator[str]:
        """The files at or below a path that git would add; not those in `apart`, which are ignored as a whole."""
        place = self._top / path
        if not place.is_dir():
            if path not in tracked and place.is_file() and path not in self:
                yield path
            return
        with os.scandir(place) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if inner not in apart:
                        yield from self.untracked(inner, tracked, apart)
                elif inner not in tracked and inner not in self:
                    yield inner
