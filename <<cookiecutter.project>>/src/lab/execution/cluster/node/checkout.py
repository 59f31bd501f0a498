"""The folders of a node in which runs take place: no process and no folder is left of one, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

GRACE = 60.0  # seconds in which a checkout may be about to be locked
TOKEN = "LAB_TASK"  # noqa: S105, the variable that all processes of a run have


def new_checkout(scratch: Path, name: str) -> tuple[Path, int]:
    """An empty folder, and the lock that says that it is in use; it ends with the processes that have it."""
    tree = scratch / f"{name}.{uuid.uuid4().hex[:8]}"
    lock = os.open(beside(tree, "lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    tree.mkdir(exist_ok=True)
    return tree, lock


def sweep(scratch: Path) -> None:
    """Remove the checkouts of runs that ended with their whole machine."""
    for path in scratch.glob("*.lock"):
        with suppress(OSError), path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - path.stat().st_mtime > GRACE:
                kill_all(str(path.with_suffix("")))
                remove(path.with_suffix(""))


def remove(tree: Path) -> None:
    """Remove a checkout with what is beside it."""
    shutil.rmtree(tree, ignore_errors=True)
    for kind in ("log", "lock"):
        beside(tree, kind).unlink(missing_ok=True)


def beside(tree: Path, kind: str) -> Path:
    """A file of a checkout that is no part of it."""
    return tree.with_name(f"{tree.name}.{kind}")


def kill_all(token: str) -> None:
    """Kill every process that has a run's token in its environment, and what these start meanwhile."""
    mark = f"{TOKEN}={token}".encode()
    for _ in range(50):
        found = False
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.1)


class Guard:
    """A process that outlives this one, and then kills what is left of the run and removes its checkout."""

    def __init__(self, tree: Path, lock: int):
        self.tree, self.lock = tree, lock
        self._start()

    def _start(self) -> None:
        reading, self.writing = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(reading)
            return
        os.close(self.writing)
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.read(reading, 1)  # returns when the other end is closed, however that comes
        self._clear()
        os._exit(0)

    def watch(self) -> None:
        """Another one, where it was killed itself."""
        with suppress(ChildProcessError):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                os.close(self.writing)
                self._start()

    def end(self) -> None:
        """Let it do its work now, and wait for it; where it was killed itself, do it here."""
        os.close(self.writing)
        done = False
        with suppress(ChildProcessError):
            done = os.waitpid(self.pid, 0)[1] == 0
        if not done:
            self._clear()

    def _clear(self) -> None:
        kill_all(str(self.tree))
        remove(self.tree)
