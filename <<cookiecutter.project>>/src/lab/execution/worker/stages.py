"""A stage's command run: forked from a process that has its packages loaded, or as a fresh process by the shell.

`stage_process` is what runs there, and says when a package may be given to a stage. What a stage imports is learned
from its own first run. Linux only; elsewhere every stage is a fresh process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from lab.execution.worker import stage_packages
from lab.execution.worker.devices import VISIBLE
from lab.execution.worker.guard import Guard

PROCESS = str(Path(__file__).with_name("stage_process.py"))  # what runs there, started by its path
PRIVATE = re.compile(r"DVC_EXP_\w+|DVC_STAGE|DVC_ROOT|CUDA_VISIBLE_DEVICES|PWD|OLDPWD|SHLVL|_")  # a run's own
QUOTED = re.compile(r"""'[^'\n]*'|"[^"$`\\!\n]*\"""")
SHELL = re.compile(r"[\n;&|<>()$`*?\[\]#~{}!\\\"']")  # characters that only a shell understands
WORTH = 150  # modules: below that, a process of its own starts as fast
LOADED_AT_ONCE = 3  # loaded processes of a worker; each is a few hundred MB that most pages of are shared
SPARE = 1.5e9  # bytes of memory that have to be left
TO_LOAD, TO_START = 300.0, 30.0  # seconds that a process may take to load, and a forked one to begin
STUCK = 120.0  # seconds in which a forked stage waits for a lock, and does nothing else
LOOK = 5.0  # seconds between two looks whether it does


class Runner:
    """Runs a worker's stages, one at a time. `began` is told each process by its id; 0 when it has ended.

    Args:
        folder: where recipes are kept; workers may share it.
        began: called with the process that runs a stage, which leads a group of its own.
    """

    def __init__(self, folder: Path, began: Callable[[int], None] = lambda pid: None):
        self.folder, self.began = folder, began
        self.loaded: dict[str, Loaded] = {}
        self.unfit: set[str] = set()
        self._guard = Guard()

    def run(self, text: str, folder: Path, environment: Mapping[str, str], log: IO[Any]) -> int:
        """Run a command in `folder` and send what it prints to `log`. Returns its exit code, as `subprocess` has it."""
        log.flush()
        command = python_script(text, folder, environment)
        if command is None or sys.platform != "linux":
            return self._shell(text, folder, environment, log)
        recipe = self.folder / f"{identity(command, environment)}.json"
        if loaded := self._loaded(recipe, folder, environment):
            try:
                return loaded.run(command, folder, environment, log, self._began)
            except Unusable as error:
                self._forget(recipe, loaded)
                self.unfit.add(str(recipe))
                log.write(f"lab: {error}: the stage starts anew, in a process of its own\n")
                log.flush()
                return self._shell(text, folder, environment, log)
        if str(recipe) in self.unfit:
            return self._shell(text, folder, environment, log)
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recorded = [sys.executable, PROCESS, "record", str(recipe), *command]
        return self._fresh(recorded, folder, environment, log)

    def close(self) -> None:
        """End the processes that are loaded."""
        for loaded in self.loaded.values():
            loaded.end()
        self.loaded.clear()
        self._guard.close()

    def _began(self, pid: int) -> None:
        self._guard.watch(pid)
        self.began(pid)

    def _shell(self, text: str, folder: Path, environment: Mapping[str, str], log: IO[Any]) -> int:
        from dvc.stage.run import _make_cmd, get_executable

        return self._fresh(_make_cmd(get_executable(), text), folder, environment, log)

    def _fresh(self, command: str | list[str], folder: Path, environment: Mapping[str, str], log: IO[Any]) -> int:
        process = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._began(process.pid)
        try:
            return process.wait()
        finally:
            self._began(0)

    def _loaded(self, recipe: Path, folder: Path, environment: Mapping[str, str]) -> Loaded | None:
        """The process that has what a recipe names; None where there is no recipe that fits the stage's code."""
        content = stage_packages.read(str(recipe))
        if content is None:
            return None
        imports = sum(event[0] == "import" for event in content["events"])
        if imports < WORTH:
            self.unfit.add(str(recipe))
        is_unfit, gpus = str(recipe) in self.unfit, environment.get(VISIBLE)
        there = self.loaded.get(str(recipe))
        is_same = there and (there.events, there.gpus) == (content["events"], gpus) and there.process.poll() is None
        if there and (is_unfit or not is_same):
            self._forget(recipe, there)
            there = None
        if is_unfit:
            return None
        if any(stage_packages.content_hash(str(folder / name)) != known for name, known in content["own"].items()):
            return None  # other code may import other things: it is learned anew
        if there:
            return there
        if psutil.virtual_memory().available < SPARE:
            return None
        while len(self.loaded) >= LOADED_AT_ONCE:
            self.loaded.pop(next(iter(self.loaded))).end()
        try:
            self.loaded[str(recipe)] = Loaded(recipe, content["events"], environment)
        except Unusable:
            if stage_packages.read(str(recipe)) == content:
                self.unfit.add(str(recipe))
            return self._loaded(recipe, folder, environment)  # of a recipe that ends earlier, if it does
        return self.loaded[str(recipe)]

    def _forget(self, recipe: Path, loaded: Loaded) -> None:
        loaded.end()
        self.loaded.pop(str(recipe), None)


class Unusable(Exception):
    """A forked stage that did not begin, hangs, or has no process any more to be forked from."""


class Loaded:
    """A process that has the packages of a recipe, and the stages that are forked from it."""

    def __init__(self, recipe: Path, events: list[list[Any]], environment: Mapping[str, str]):
        self.recipe, self.events, self.gpus = recipe, events, environment.get(VISIBLE)
        self.channel, theirs = socket.socketpair()
        kept = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, PROCESS, "serve", str(recipe)],
                env=kept,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=stage_packages.die_with_parent,
            )
        self.unread = b""
        if not self._answer(TO_LOAD)["ready"]:
            self.end()
            raise Unusable("a package opens a device when it is imported")

    def run(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        log: IO[Any],
        began: Callable[[int], None],
    ) -> int:
        """Fork a stage, and wait for it. Raises Unusable."""
        request = {"command": command, "folder": str(folder), "environment": dict(environment)}
        content = json.dumps({**request, "recipe": str(self.recipe)}).encode() + b"\n"
        try:
            sent = socket.send_fds(self.channel, [content], [log.fileno()])
            self.channel.sendall(content[sent:])
        except OSError as error:
            raise Unusable(f"the process that has the stage's packages is gone ({error})") from error
        answers: dict[str, Any] = {}
        while not {"pid", "started"} <= answers.keys():
            answers |= self._answer(TO_START, answers.get("pid"))
            if "returncode" in answers:
                raise Unusable("the stage's process ended before it began")
        process = answers["pid"]
        began(process)
        try:
            return self._wait(process)
        finally:
            began(0)

    def _wait(self, process: int) -> int:
        """Its exit code. Raises Unusable where it hangs."""
        idle, before = time.monotonic(), Activity(0.0, False)
        while True:
            with suppress(TimeoutError):
                return self._line(LOOK)["returncode"]
            now = activity(process)
            if not now.locked or now.seconds != before.seconds:
                idle = time.monotonic()
            before = now
            if time.monotonic() - idle > STUCK:
                kill(process)
                self._answer(TO_START)
                raise Unusable(f"the stage has waited for a lock for {STUCK:.0f} s and done nothing else")

    def _answer(self, seconds: float, process: int | None = None) -> dict[str, Any]:
        """What it says within so many seconds. Raises Unusable."""
        try:
            return self._line(seconds)
        except TimeoutError as error:
            if process:
                kill(process)
            raise Unusable("the stage's process did not begin") from error

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next thing that it says. Raises TimeoutError and, where it is gone, Unusable."""
        self.channel.settimeout(seconds)
        while b"\n" not in self.unread:
            received = self.channel.recv(2**16)
            if not received:
                raise Unusable("the process that has the stage's packages is gone")
            self.unread += received
        line, _, self.unread = self.unread.partition(b"\n")
        return json.loads(line)

    def end(self) -> None:
        """End it; a stage that is forked from it ends as well."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


class Activity(NamedTuple):
    """CPU seconds that a process and its children have used, and whether all its threads wait for locks."""

    seconds: float
    locked: bool


def activity(pid: int) -> Activity:
    """What a process is at."""
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        seconds = sum(sum(each.cpu_times()[:2]) for each in [process, *children])
        waits = [Path(f"/proc/{pid}/task/{thread.id}/wchan").read_text() for thread in process.threads()]
    except (psutil.Error, OSError):
        return Activity(0.0, False)
    return Activity(seconds, not children and all("futex" in wait for wait in waits))


def kill(process: int) -> None:
    """End a stage and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def python_script(text: str, folder: Path, environment: Mapping[str, str]) -> list[str] | None:
    """The script and its arguments, where a command is `python SCRIPT ARGUMENTS` with this Python; else None."""
    if SHELL.search(QUOTED.sub("", text)):
        return None
    try:
        program, script, *arguments = shlex.split(text)
    except ValueError:
        return None
    found = shutil.which(program, path=environment.get("PATH", ""))
    if (
        "=" in program
        or found is None
        or "PYTHONSAFEPATH" in environment
        or script.startswith("-")
        or not (folder / script).is_file()
    ):
        return None
    own = Path(sys.executable)
    if Path(found).parent != own.parent or not os.path.samefile(found, own) or not script.endswith(".py"):
        return None
    return [script, *arguments]


def identity(command: list[str], environment: Mapping[str, str]) -> str:
    """What a recipe depends on beside the stage's code: the command, the environment, and what is installed."""
    own = {name: value for name, value in environment.items() if not PRIVATE.fullmatch(name)}
    facts = [command, sorted(own.items()), stage_packages.installed(), sys.version]
    facts += [os.stat(path).st_mtime_ns for path in (PROCESS, stage_packages.__file__)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
