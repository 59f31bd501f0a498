"""The machine's trouble is a line with the file and what to do: no traceback, whatever the command."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import answered
import pygit2
import pytest
import trivial
from trivial import Trivial

from lab.cli import trouble
from lab.errors import UserError
from lab.git import NoRepository, Repository
from lab.records.project import Project

READ_ONLY = "mount --bind {path} {path} && mount -o remount,ro,bind {path}"
FULL = "mount -t tmpfs -o size=100k tmpfs {path} && head -c 200k /dev/zero > {path}/filler 2>/dev/null; true"


@pytest.fixture(scope="module")
def asked(answers: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project with runs, and a design that has none yet. Not to be changed."""
    project = trivial.copied(answers, tmp_path_factory.mktemp("asked") / "project")
    answered.design(project, "later", 0.7, 0.2)
    return project


def alone(project: Trivial, mounts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `lab` command that sees these mounts, which nobody else does and which end with it."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    if subprocess.run([*command[:3], "true"], capture_output=True).returncode:
        pytest.skip("no mounts of one's own here: unshare --map-root-user --mount")
    return project.call(*command, sys.executable, "-m", "lab", *arguments, check=False)


def line_of(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """The last line on stderr, which is all there is of the trouble."""
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert done.returncode == 2, done.stdout + done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert all(word in line for word in ("lab: ", *words)), line
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mounts", "folder", "arguments", "words"),
    [
        (READ_ONLY, ".git", ["run", "designs/later.yaml", "--force"], [".git", "can't be written to"]),
        (READ_ONLY, ".dvc", ["run", "designs/later.yaml", "--force"], [".dvc", "can't be written to"]),
        (READ_ONLY, "docs", ["report", "small"], ["docs", "can't be written to"]),
        (FULL, "docs", ["report", "small"], ["docs", "is full"]),
        (FULL, ".dvc/tmp", ["run", "designs/later.yaml", "--force"], [".dvc/tmp", "is full"]),
    ],
)
def test_disks_that_take_nothing(
    asked: Trivial, tmp_path: Path, mounts: str, folder: str, arguments: list[str], words: list[str]
) -> None:
    project = trivial.copied(asked, tmp_path / "project")
    path = project.root / folder
    path.mkdir(parents=True, exist_ok=True)
    line_of(alone(project, mounts.format(path=path), *arguments), *words)


@pytest.mark.slow
def test_once_the_disk_is_free_again_the_command_goes_on(asked: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(asked, tmp_path / "project")
    (project.root / "docs").mkdir(exist_ok=True)
    line_of(alone(project, FULL.format(path=project.root / "docs"), "report", "small"), "docs")
    assert project.lab("report", "small").returncode == 0


@pytest.mark.slow
def test_a_repository_of_another_user(asked: Trivial, tmp_path: Path) -> None:
    """As in a container: git, and libgit2, read it only where one says that one trusts it."""
    if os.geteuid():
        pytest.skip("only root gives files away")
    project = trivial.copied(asked, tmp_path / "übung 1")
    for path in (project.root, *project.root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    for command in (["status"], ["results", "small"], ["run", "designs/later.yaml"], ["check", "designs/later.yaml"]):
        line_of(project.lab(*command, check=False), f"git config --global --add safe.directory '{project.root}'")
    (tmp_path / "home").mkdir()
    project.call("git", "config", "--global", "--add", "safe.directory", str(project.root), HOME=str(tmp_path / "home"))
    assert project.lab("status", HOME=str(tmp_path / "home")).returncode == 0


def test_repositories_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(NoRepository, match="git init"):
        Repository(tmp_path)
    subprocess.run(["git", "init", "-q", "--object-format=sha256", tmp_path], check=True)
    with pytest.raises(UserError, match="sha256, which neither libgit2 nor DVC reads"):
        Repository(tmp_path)
    with pytest.raises(UserError, match="sha256"):
        _ = Project(tmp_path).head


@pytest.mark.parametrize("name", ["refs/heads/new.lock", "packed-refs.lock"])
def test_a_lock_of_git(asked: Trivial, tmp_path: Path, name: str) -> None:
    root = trivial.copied(asked, tmp_path / "project").root
    (root / ".git" / name).touch()
    git = pygit2.Repository(str(root))
    with pytest.raises((pygit2.GitError, OSError)) as caught:
        if name.startswith("refs"):
            git.references.create("refs/heads/new", git.head.target)
        else:
            git.compress_references()
    told = trouble.sentence(caught.value, root)
    assert str(root / ".git" / name) in told and "try again" in told and "\n" not in told


def test_sqlites_troubles(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    sqlite3.connect(database).execute("create table t(a)").connection.close()
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute("insert into t values (1)")
    assert "can't be written to" in trouble.sentence(caught.value, tmp_path)
    one, other = sqlite3.connect(database), sqlite3.connect(database, timeout=0)
    one.execute("begin exclusive")
    with pytest.raises(sqlite3.Error) as caught:
        other.execute("insert into t values (1)")
    assert "locked by another process" in trouble.sentence(caught.value, tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "/x/y is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"), "/x/y is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y may not be read or written by this user"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "git"), "the program git was not found"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x/y"), "/x/y: Is a directory"),
        (MemoryError(), "too little memory"),
        (RuntimeError("std::bad_alloc"), "too little memory"),
    ],
    ids=str,
)
def test_what_is_told(error: Exception, words: str, tmp_path: Path) -> None:
    told = trouble.sentence(error, tmp_path)
    assert words in told and "\n" not in told
    around = ValueError("of a library")
    around.__cause__ = error
    assert trouble.sentence(around, tmp_path) == told, "also where a library wraps it"


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("/x/y.lock"), AssertionError(), AttributeError("a")])
def test_faults_of_lab_keep_their_traceback(error: Exception, tmp_path: Path) -> None:
    assert trouble.sentence(error, tmp_path) == ""


def test_a_package_that_is_not_installed(tmp_path: Path) -> None:
    told = trouble.sentence(ModuleNotFoundError("No module named 'psutil'", name="psutil._common"), tmp_path)
    assert told == "the environment is older than the code, psutil is not installed: make setup"
    assert trouble.sentence(ModuleNotFoundError("No module named 'lab.x'", name="lab.x"), tmp_path) == ""
