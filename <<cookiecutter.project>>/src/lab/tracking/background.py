"""The mirror beside `lab run`, and after `lab report`: a process of its own, that gives way to the experiments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from lab.errors import UserError
from lab.tracking import settings
from lab.tracking.mirror import LOCK, POLL, Mirror, watch

LOW = 19  # the nice value with which it has 3 % of a CPU where experiments take them all, and what they leave
SOURCES = Path(__file__).parents[2]  # the folder that lab is imported from


@dataclass(frozen=True)
class Background:
    """A mirror in the background: what it says goes to `log`; `problem` says why there is none."""

    log: Path | None = None
    problem: str = ""

    def complaint(self) -> str:
        """What it said last: nothing, when all goes well."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log and self.log.exists() else []
        return self.problem or (f"mirror: {lines[-1]}" if lines else "")


def start(root: Path) -> Background:
    """Start it, for as long as this process or a worker is there. It never fails: experiments don't wait for it."""
    return _start(root, "mirror.log", "--follow", str(os.getpid()))


def send(root: Path, names: Sequence[str]) -> Background:
    """Start one pass over these designs, where anything of the project has been mirrored before. It never fails."""
    with suppress(OSError):
        if names and (settings.folder(root) / LOCK).exists():
            return _start(root, "mirror-once.log", *names)
    return Background()


def _start(root: Path, log_name: str, *arguments: str) -> Background:
    command = [sys.executable, "-m", "lab", "mirror", *arguments]
    try:
        if not settings.read(root).backends:
            return Background()
        log = settings.folder(root) / log_name
        with log.open("wb") as file:
            subprocess.Popen(
                command,
                cwd=root,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for lab, and closing the terminal is not for the mirror
            )
    except (UserError, OSError) as error:
        return Background(problem=f"not mirrored: {error}")
    return Background(log)


def _environment() -> dict[str, str]:
    """Ours, in which Python finds this lab: the environment may be from before it was told where that is."""
    paths = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def follow(mirror: Mirror, owner: int, working: Callable[[], bool], say: Callable[[str], None]) -> None:
    """Watch as long as the process `owner` lives or workers are `working`; one such watch at a time."""
    give_way()
    process = psutil.Process(owner) if psutil.pid_exists(owner) else None

    def needed() -> bool:
        return alive(process) or working()

    def try_to_say(line: str) -> None:
        with suppress(OSError):  # the log's disk may be the one that is full
            say(line)

    lock = FileLock(settings.folder(mirror.project.root) / "watch.lock")
    while needed():
        with suppress(Timeout), lock.acquire(timeout=POLL):
            watch(mirror, (), try_to_say, needed)
            return


def give_way() -> None:
    """Let experiments have the CPUs first.

    Where Linux shares them out by sessions (sched(7), autogroup), a nice value counts only within one: the session,
    which is this process's own, takes it as well.
    """
    os.nice(LOW)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LOW))


def alive(process: psutil.Process | None) -> bool:
    """Whether a process still runs."""
    with suppress(psutil.NoSuchProcess):
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
