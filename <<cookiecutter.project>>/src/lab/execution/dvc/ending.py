"""Processes ended for sure: asked first, and killed where they don't hear."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

PATIENCE = 10.0  # seconds from being asked to an end, on a busy machine


def end(processes: Iterable[psutil.Process], may_be_killed: Callable[[psutil.Process], bool]) -> None:
    """Ask processes to end, and kill those that are there after a while and that `may_be_killed` by then."""
    asked = list(processes)
    for process in asked:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(asked, PATIENCE)
    for process in left:
        if may_be_killed(process):
            kill(process)


def kill(process: psutil.Process) -> None:
    """End a process and all that it has started, as a power cut would."""
    with suppress(psutil.Error):
        for part in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                part.kill()
        process.wait(PATIENCE)


def is_there(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def is_stopped(process: psutil.Process) -> bool:
    """Whether it is halted by SIGSTOP, and does nothing until somebody lets it go on."""
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
