"""A task in its checkout: the baseline and the run's params, DVC's experiment, and its ref on the git remote."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.execution.cluster.node.checkout import TOKEN, Guard, beside, kill_all
from lab.execution.cluster.node.report import Follower, Report

LOOK = 1.0  # seconds between two looks at what a run has written
TRIES = 6  # of what goes over the network, with pauses of 1, 2, 4 … seconds
OVER_TIME = "ended by the time limit of its design"
TIMED_OUT = 124  # as of `timeout`
STARTS_OVER = "an earlier attempt was interrupted; this one starts over: no checkpoints: in conf/cluster.yaml\n"
STAGE_FAILED = re.compile(r"failed to run: .*, exited with", re.DOTALL)
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


def node_name() -> str:
    """What the engine calls this node, else the host."""
    return os.environ.get("SLURMD_NODENAME") or os.environ.get("LAB_NODE") or os.uname().nodename
