"""One run on a node of a cluster, from an empty folder to its experiment's ref on the git remote.

    python node.py FOLDER ARRAY INDEX    the task that a line of FOLDER/arrays/ARRAY names; what happens is noted there
    python node.py < TASK                a task in JSON; what happens is printed, a line of JSON each

A program of its own: it needs Python, git and an environment with DVC, and nothing of lab. The ref is the only record
of success. It is pushed last, after the data, and never over another: so a run may be started twice, or killed at any
line, and its experiment still arrives once. Signals leave no trace; whoever started the program finds out that it is
gone.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Report = Callable[[str, Any], None]
"""Takes what happens: `note` (where it stands), `log` and `epochs` (text that is new)."""

LOOK = 1.0  # seconds between two looks at what a run has written
GRACE = 60.0  # seconds in which a checkout may be about to be locked
TRIES = 6  # of what goes over the network, with pauses of 1, 2, 4 … seconds
OVER_TIME = "ended by the time limit of its design"
TIMED_OUT = 124  # as of `timeout`
STARTS_OVER = "an earlier attempt was interrupted; this one starts over: no checkpoints: in conf/cluster.yaml\n"
STAGE_FAILED = re.compile(r"failed to run: .*, exited with", re.DOTALL)
TOKEN = "LAB_TASK"  # noqa: S105, the variable that all processes of a run have
FOREIGN = (
    "DVC_",
    "LAB_",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
)
VERSIONS = """import json, sys
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
named = json.load(sys.stdin)
print(json.dumps({n: "%d.%d" % sys.version_info[:2] if n == "python" else found(n) for n in named}))
"""


class Refused(Exception):
    """What would come out again however often it is tried."""


class Trouble(Exception):
    """What may go well another time, or on another node."""


def main() -> None:
    if len(sys.argv) == 1:
        die_with_parent()
        task = json.load(sys.stdin)
        sys.exit(carry_out(task, lambda kind, value: print(json.dumps([kind, value]), flush=True)))
    folder, array, index = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    place = folder / "tasks" / (folder / "arrays" / array).read_text().splitlines()[index]
    if (place / "task.json").exists():  # else it has been taken back
        sys.exit(carry_out(json.loads((place / "task.json").read_text()), FolderReport(place)))


class FolderReport:
    """A `Report` into a folder: note.json, log and epochs. A new attempt begins them anew."""

    def __init__(self, folder: Path):
        self.folder, self.attempt = folder, ""

    def __call__(self, kind: str, value: Any) -> None:
        if kind == "note":
            self.note(value)
        elif self._is_current():
            with (self.folder / kind).open("a", encoding="utf-8") as file:
                file.write(value)

    def note(self, value: dict[str, Any]) -> None:
        """Note where the run stands; a first attempt that was thought lost says nothing over a second one."""
        if not self.attempt:
            self.attempt = value["attempt"]
            for name in ("log", "epochs"):
                (self.folder / name).unlink(missing_ok=True)
        elif not self._is_current():
            return
        partial = self.folder / f"note.{value['attempt']}"
        partial.write_text(json.dumps(value))
        partial.replace(self.folder / "note.json")

    def _is_current(self) -> bool:
        with suppress(OSError, ValueError):
            return json.loads((self.folder / "note.json").read_text())["attempt"] == self.attempt
        return False


def carry_out(task: dict[str, Any], report: Report) -> int:
    """Run a task unless its experiment is there. Returns an exit code: 0 where the ref is on the remote."""
    note = {"state": "running", "node": node_name(), "taken": time.time(), "attempt": uuid.uuid4().hex[:12]}
    report("note", note)
    os.environ.setdefault("USER", pwd.getpwuid(os.getuid()).pw_name)
    scratch = Path(os.path.expandvars(task["scratch"]))
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(scratch)
    tree, lock = new_checkout(scratch, task["name"])
    run = Run(task, tree, report)
    guard = Guard(tree, lock)
    try:
        outcome, code = run.carry_out(guard), 0
    except Refused as reason:
        outcome, code = "refused", 2
        report("log", f"ERROR: {reason}\n")
    except (Trouble, OSError) as reason:
        outcome, code = "trouble", None
        report("log", f"ERROR: {reason}\n")
    except StageFailed as failure:
        outcome, code = "failed", failure.code
    report("note", {**note, "state": "over", "outcome": outcome, "returncode": code, "ended": time.time()})
    guard.end()
    return 0 if code == 0 else 1


class StageFailed(Exception):
    """DVC ended without an experiment."""

    def __init__(self, code: int):
        self.code = code


class Run:
    """A task in its checkout `tree`, a folder of this node."""

    def __init__(self, task: dict[str, Any], tree: Path, report: Report):
        self.task, self.tree, self.report = task, tree, report
        self.root = tree / task["prefix"]
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        self.environment |= {
            TOKEN: str(tree),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.root / ".dvc" / "tmp" / "site"),  # else /var/tmp/dvc grows with each run
            "GIT_TERMINAL_PROMPT": "0",
            "PYTHONUNBUFFERED": "1",
        }
        self.until = time.monotonic() + (task["seconds"] or math.inf)
        if not task["gpus"]:
            self.environment["CUDA_VISIBLE_DEVICES"] = ""  # engines leave it as it is, and all GPUs would be seen

    def carry_out(self, guard: Guard) -> str:
        """Returns `present` where the experiment was there already, else `done`."""
        if self.is_there():
            return "present"
        self.check_out()
        python = self.python()
        self.check_versions(python)
        self.environment["PATH"] = os.pathsep.join([str(Path(python).parent), self.environment.get("PATH", "")])
        self.run_experiment(python, guard)
        if self.task["push"]:
            self.patiently(
                [python, "-m", "dvc", "push", "-q", "--with-deps", self.task["stage"]]
            )  # data before the ref
        return self.publish()

    def is_there(self) -> bool:
        """Whether the experiment's ref is on the remote."""
        return bool(self.patiently(["git", "ls-remote", self.task["git"], self.task["ref"]], cwd=self.tree))

    def check_out(self) -> None:
        """The baseline alone, with the run's params.yaml."""
        git, rev = self.task["git"], self.task["ref"].split("/")
        baseline = rev[2] + rev[3]
        self.git("init", "-q", "--template=")
        self.git("config", "user.name", self.task["identity"][0])
        self.git("config", "user.email", self.task["identity"][1])
        self.git("remote", "add", "origin", git)
        self.patiently(["git", "fetch", "-q", "--depth=1", "origin", baseline], cwd=self.tree)
        self.git("checkout", "-q", "--detach", baseline)
        cache = os.path.expandvars(self.task["cache"])
        lines = ["[cache]", f"    dir = {cache}"]
        for name, url in self.task["remotes"].items():
            lines += [f"['remote \"{name}\"']", f"    url = {url}"]
        (self.root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self.root / "params.yaml").write_text(self.task["params"], encoding="utf-8")

    def python(self) -> str:
        """The interpreter for DVC and the stages; `build` makes an environment of the project's pins, once a node."""
        asked = os.path.expandvars(self.task["python"])
        if asked != "build":
            return asked
        pins = self.root / "requirements.txt"
        if not pins.is_file():
            raise Refused("python: build needs a requirements.txt in the project")
        home = self.tree.parent / "environments"
        home.mkdir(exist_ok=True)
        key = uuid.uuid5(uuid.NAMESPACE_OID, pins.read_text() + self.task["versions"]["python"]).hex[:16]
        folder = home / key
        python = str(folder / "bin" / "python")
        with (home / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "ready").exists():
                shutil.rmtree(folder, ignore_errors=True)
                self.report("log", f"building {folder} from requirements.txt\n")
                for command in environment_commands(folder, pins, self.task["versions"]["python"]):
                    self.patiently(command)
                (folder / "ready").touch()
        return python

    def check_versions(self, python: str) -> None:
        """Refuse an environment that isn't the driver's: results would depend on where a run came to."""
        wanted = self.task["versions"]
        asked = {"input": json.dumps(list(wanted)), "text": True, "capture_output": True, "env": self.environment}
        try:
            said = subprocess.run([python, "-c", VERSIONS], **asked)
        except OSError as error:
            raise Refused(
                f"{node_name()} has no Python at {python} ({error.strerror}): python in conf/cluster.yaml"
            ) from error
        if said.returncode:
            raise Refused(f"{python} on {node_name()} does not work: {said.stderr.strip()[-500:]}")
        found = json.loads(said.stdout)
        different = [name for name in wanted if found[name] != wanted[name]]
        if different:
            there, here = (", ".join(f"{n} {v[n]}" for n in different) for v in (found, wanted))
            raise Refused(
                f"{python} on {node_name()} is another environment than where lab run was called. "
                f"There: {there}. Here: {here}. python in conf/cluster.yaml names another, or build makes it"
            )

    def run_experiment(self, python: str, guard: Guard) -> None:
        """`dvc exp run`, followed; no process of it is left in the end. Raises StageFailed without an experiment."""
        checkpoints = self.checkpoints()
        pull = ["--pull", "--allow-missing"] if self.task["pull"] else []
        options = ["--no-hydra", *pull, "--name", self.task["name"], self.task["stage"]]
        for attempt in (1, 2):
            code, log = self.follow([python, "-m", "dvc", "exp", "run", *options], guard)
            if self.git("for-each-ref", self.task["ref"]):
                break
            if code < 0 or attempt == 2 or STAGE_FAILED.search(log):
                raise StageFailed(code)
            # Not a stage, but DVC itself: two at once stumble over what they share, such as the cache of runs.
        if checkpoints:
            shutil.rmtree(checkpoints, ignore_errors=True)

    def follow(self, command: list[str], guard: Guard) -> tuple[int, str]:
        """What a command ends with and has printed; meanwhile that and the epochs are reported."""
        log = beside(self.tree, "log")
        followed = {"log": log, **({"epochs": self.root / self.task["epochs"]} if self.task["epochs"] else {})}
        follower = Follower(followed, self.report)
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=file, **streams)
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
            guard.watch()
            follower.look()
            if time.monotonic() > self.until and process.poll() is None:
                kill_all(str(self.tree))
                process.wait()
                self.report("log", f"ERROR: {OVER_TIME}: {self.task['timeout']}\n")
                raise StageFailed(TIMED_OUT)
        kill_all(str(self.tree))  # a stage outlives a DVC that was killed
        follower.look()
        return process.returncode, log.read_text(errors="replace")

    def checkpoints(self) -> Path | None:
        """The run's folder where another node finds what it left; stages know it by LAB_CHECKPOINTS."""
        if not self.task["checkpoints"]:
            if self.task["attempt"] > 1 or os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
                self.report("log", STARTS_OVER)
            return None
        folder = Path(os.path.expandvars(self.task["checkpoints"])) / self.task["key"]
        folder.mkdir(parents=True, exist_ok=True)
        self.environment["LAB_CHECKPOINTS"] = str(folder)
        return folder

    def publish(self) -> str:
        """Push the ref, unless another attempt was first."""
        ref = self.task["ref"]
        try:
            self.patiently(
                ["git", "push", "-q", f"--force-with-lease={ref}:", "origin", ref], cwd=self.tree, final=self.is_there
            )
        except Trouble:
            if not self.is_there():
                raise
            return "present"
        return "done"

    def git(self, *arguments: str) -> str:
        return self.command(["git", *arguments], self.tree)

    def command(self, command: list[str], cwd: Path) -> str:
        """What it prints. Raises Trouble."""
        asked: dict[str, Any] = {"cwd": cwd, "env": self.environment, "text": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command, capture_output=True, **asked)
        if done.returncode:
            raise Trouble(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done.stdout.strip()

    def patiently(self, command: list[str], cwd: Path | None = None, final: Callable[[], bool] | None = None) -> str:
        """The same, again and again: networks and servers come back. Not once `final` says that it has no use."""
        for attempt in range(TRIES):
            try:
                return self.command(command, cwd or self.root)
            except Trouble:
                if attempt == TRIES - 1 or (final and final()):
                    raise
                time.sleep(2**attempt)
        raise AssertionError


class Follower:
    """What files have got since the last look."""

    def __init__(self, files: dict[str, Path], report: Report):
        self.files, self.report = files, report
        self.read = dict.fromkeys(files, 0)

    def look(self) -> None:
        for kind, path in self.files.items():
            with suppress(FileNotFoundError), path.open("rb") as file:
                if path.stat().st_size < self.read[kind]:
                    self.read[kind] = 0
                file.seek(self.read[kind])
                if new := file.read():
                    self.read[kind] += len(new)
                    self.report(kind, new.decode(errors="replace"))


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
        kill_all(str(self.tree))
        remove(self.tree)
        os._exit(0)

    def watch(self) -> None:
        """Another one, where it was killed itself."""
        with suppress(ChildProcessError):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                os.close(self.writing)
                self._start()

    def end(self) -> None:
        """Let it do its work now, and wait for it."""
        os.close(self.writing)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


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


def environment_commands(folder: Path, pins: Path, version: str) -> list[list[str]]:
    """What makes an environment of pinned packages, with bytecode: without it each `dvc` starts in twice the time."""
    if shutil.which("uv"):
        install = [
            "uv",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--compile-bytecode",
            "--python",
            str(folder),
            "-r",
            str(pins),
        ]
        return [["uv", "venv", "-q", "--python", version, str(folder)], install]
    pip = [str(folder / "bin" / "pip"), "install", "-q", "--no-deps", "-r", str(pins)]
    return [[f"python{version}", "-m", "venv", str(folder)], pip]


def die_with_parent() -> None:
    """Get SIGKILL when the process ends that started this one, as soon as it does (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(os.environ["LAB_PARENT"]):  # it has ended already
        sys.exit(1)


def node_name() -> str:
    """What the engine calls this node, else the host."""
    return os.environ.get("SLURMD_NODENAME") or os.environ.get("LAB_NODE") or os.uname().nodename


if __name__ == "__main__":
    main()
