"""The machine's trouble, such as a full disk, in a line: which file it is about, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS,)
REFUSED = (errno.EACCES, errno.EPERM)
MANY = (errno.EMFILE, errno.ENFILE)
LATER = "then the same command goes on"
# Of libraries that raise errors of their own: pygit2, git, SQLite, DVC.
GIT = ("_pygit2", "pygit2", "dulwich", "scmrepo")
DATABASE = ("sqlite3", "sqlalchemy", "diskcache", "sqltrie")
DVC = ("dvc", "dvc_data", "dvc_objects", "dvc_task", "zc", "celery", "kombu")
WORDS = {
    FULL: ("no space left", "disk is full", "disk quota", "failed to write"),
    READ_ONLY: ("read-only file system", "readonly database", "attempt to write a readonly"),
    REFUSED: ("permission denied", "operation not permitted", "access is denied", "unable to open database"),
    MANY: ("too many open files",),
}
LOCK = re.compile(r"[^\s'\"]+\.lock\b|[^\s'\"]*gc\.pid\b")
PATH = re.compile(r"'(/[^']+)'|\"(/[^\"]+)\"|(?<!\S)(/\S+?)[.:,;]?(?=\s|$)")


def sentence(error: BaseException, root: Path) -> str:
    """What to tell of an error in the project at `root`; empty where it is none of the machine's but a fault in lab."""
    if isinstance(error, ModuleNotFoundError) and (package := (error.name or "lab").partition(".")[0]) != "lab":
        return f"the environment is older than the code, {package} is not installed: make setup"
    return next(filter(None, (_told(cause, root) for cause in causes(error))), "")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _told(error: BaseException, root: Path) -> str:
    said, library = " ".join(str(error).split()), type(error).__module__.partition(".")[0]
    if isinstance(error, MemoryError) or "bad_alloc" in said or "annot allocate memory" in said:
        return "too little memory: end other programs, or run fewer at a time (-j 1)"
    foreign = library in (*GIT, *DATABASE, *DVC)
    if not foreign and not isinstance(error, OSError):
        return ""
    if isinstance(error, FileNotFoundError) and os.sep not in str(error.filename or os.sep):
        return f"the program {error.filename} was not found: install it, or put it on PATH"
    numbers = [error.errno] if isinstance(error, OSError) else []
    kind = next((kind for kind in WORDS if set(kind) & set(numbers)), None) or _kind(said)
    place = _place(error, said)
    if kind is not None:
        return _advised(kind, place, root)
    if found := LOCK.search(said):
        return _locked(found[0])
    if isinstance(error, OSError):
        return f"{place}: {os.strerror(error.errno)}" if place and error.errno else said  # libgit2's have no number
    if library in DATABASE and "locked" in said:
        return f"{place or 'a database below .dvc/tmp'} is locked by another process: try again when that has ended"
    if library in GIT or "Exception" in type(error).__name__ or "Error" in type(error).__name__:
        return f"{'git' if library in GIT else library}: {said}" if said and library != "sqlalchemy" else ""
    return ""


def _kind(said: str) -> tuple[int, ...] | None:
    """What a library's words mean."""
    return next((kind for kind, words in WORDS.items() if any(word in said.lower() for word in words)), None)


def _place(error: BaseException, said: str) -> str:
    """The file or folder that it is about; empty where nobody says."""
    names = (getattr(error, "filename2", None), getattr(error, "filename", None))
    named = next((str(name) for name in names if isinstance(name, str | os.PathLike)), "")
    found = PATH.search(said)
    return named or (next(filter(None, found.groups()), "") if found else "")


def _advised(kind: tuple[int, ...], place: str, root: Path) -> str:
    folder = Path(place).parent if place else root
    if kind == FULL:
        full = place or _full(root)
        return f"the disk of {full} is full: make room (dvc gc -w and lab gc free what nobody needs), {LATER}"
    if kind == READ_ONLY:
        return f"{place or folder} is on a disk that can't be written to: mount it for writing, {LATER}"
    if kind == REFUSED:
        return f"{place or folder} may not be read or written by this user: see ls -ld {folder}, {LATER}"
    return f"too many files are open{f', at {place}' if place else ''}: ulimit -n 4096, {LATER}"


def _full(root: Path) -> Path:
    """Which folder has no room, where the error doesn't say: of those that lab and DVC write to."""
    names = ("", ".git", ".dvc", ".dvc/tmp", ".dvc/cache", ".cache", "docs", "docs/04-report", "mlartifacts")
    folders = [*(root / name for name in names), Path(tempfile.gettempdir())]
    there = [folder for folder in folders if folder.is_dir()]
    return min(there, key=lambda folder: shutil.disk_usage(folder).free, default=root)


def _locked(lock: str) -> str:
    return (
        f"another program, such as git gc, is at work in the repository and holds {lock}: try again when it has ended. "
        f"If none is at work, it was left by one that was killed: rm {shlex.quote(lock)}"
    )
