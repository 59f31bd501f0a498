"""git's garbage collection beside `lab run`: what no ref names yet outlives it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lab.execution import garbage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def collect(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "gc", "--quiet", "--prune=now"], cwd=root, capture_output=True, text=True)


def written(root: Path) -> str:
    """An object that no ref names."""
    hash_object = ["git", "hash-object", "-w", "--stdin"]
    done = subprocess.run(hash_object, cwd=root, input="a file", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def is_there(root: Path, name: str) -> bool:
    return subprocess.run(["git", "cat-file", "-e", name], cwd=root, capture_output=True).returncode == 0


def test_no_collection_begins_meanwhile(root: Path) -> None:
    with garbage.kept_out(root / ".git"):
        name = written(root)
        done = collect(root)
        assert done.returncode != 0 and "gc is already running" in done.stderr
        assert is_there(root, name)
    assert collect(root).returncode == 0
    assert not is_there(root, name)


def test_one_that_runs_is_waited_for(root: Path) -> None:
    note = root / ".git" / "gc.pid"
    note.write_text(f"{os.getppid()} {socket.gethostname()}")
    threading.Timer(0.3, note.unlink).start()
    begun = time.monotonic()
    with garbage.kept_out(root / ".git"):
        assert time.monotonic() - begun > 0.25
        assert note.read_text().startswith(f"{os.getpid()} ")
    assert not note.exists()


@pytest.mark.parametrize("left", [f"99999999 {socket.gethostname()}", "", "no number"])
def test_a_note_that_a_crash_has_left_is_no_collection(root: Path, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "PATIENCE", 1.0)
    (root / ".git" / "gc.pid").write_text(left)
    with garbage.kept_out(root / ".git"):
        if left.startswith("9"):
            assert collect(root).returncode != 0
    assert collect(root).returncode == 0, "what nobody can read is left to git"


def test_a_long_collection_is_not_waited_for_for_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "PATIENCE", 0.1)
    note = root / ".git" / "gc.pid"
    note.write_text(f"{os.getppid()} another-host")
    with garbage.kept_out(root / ".git"):
        assert note.read_text().endswith("another-host")
    assert note.exists(), "it is another's"
