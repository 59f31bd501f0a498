"""A copy of the project under test, and its stages as a person or DVC would run them: scripts, each in a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

PROJECT = Path(os.environ["EXP_PROJECT"]).resolve()
PACKAGE = next(PROJECT.glob("src/*/shared/stage.py")).parents[1].name
QUICK = [f"{stage}.{key}=1" for stage in ("infer.latency", "quant") for key in ("warmup", "repeats", "rounds")]
SMALL = {
    task: [f"task={task}", *settings, *QUICK]
    for task, settings in {
        "detection": ["model=yolo11t", "training.max_epochs=2"],
        "classification": ["model=tiny", "training.max_epochs=2"],
        "segmentation": ["model=yolo11t_seg", "training.max_epochs=2"],
        "multilabel": ["training.max_epochs=3", "data.resize=letterbox", "data.interpolation=bicubic"],
    }.items()
}  # real trainings, and few measurements of time: seconds


def load(name: str) -> ModuleType:
    """A module of the package by its dotted name inside it: `load("stages.prepare")`."""
    return import_module(f"{PACKAGE}.{name}")


@dataclass
class Workspace:
    """A folder with the project's code and config, without its data, models and results."""

    root: Path

    def run(self, stage: str, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python src/<stage>.py <overrides>`, in a process forked from one that has imported the engines.

        With `check`, a failure fails the test and shows the output.
        """
        result = forks().run(self.root, [f"src/{stage}.py", *overrides], self.environment())
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def run_anew(self, stage: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        """The same in a new process, as the user has it. It must succeed."""
        command, environment = self.command(stage, *overrides), self.environment()
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    def run_all_anew(self, stages: Iterable[str], overrides: list[str]) -> subprocess.CompletedProcess[str]:
        """Several stages one after the other in one new process, which imports only once. They must succeed."""
        script = self.root / "run_all.py"
        script.write_text(f"""
import sys
sys.path.insert(0, "src")
from importlib import import_module
stage, config = (import_module("{PACKAGE}.shared." + name) for name in ("stage", "config"))
for name in {list(stages)!r}:
    stage.run(name, config.load({overrides!r}))
    print("done", name, flush=True)
""")
        command, environment = [sys.executable, script.name], self.environment()
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    def run_each(self, stage: str, *runs: list[str]) -> list[str]:
        """Run a stage with each list of overrides, in one process; the hash of the model that each of them left."""
        script = self.root / "run_each.py"
        script.write_text(f"""
from hashlib import sha256
from importlib import import_module
from pathlib import Path
stage, config = (import_module("{PACKAGE}.shared." + name) for name in ("stage", "config"))
for overrides in {runs!r}:
    stage.run({stage!r}, config.load(overrides))
    print("model", sha256(Path("models/model.pt").read_bytes()).hexdigest())
""")
        result = forks().run(self.root, [script.name], self.environment())
        assert result.returncode == 0, result.stdout + result.stderr
        return [line.split()[1] for line in result.stdout.splitlines() if line.startswith("model ")]

    def command(self, stage: str, *overrides: str) -> list[str]:
        """The command line of a stage."""
        return [sys.executable, f"src/{stage}.py", *overrides]

    def environment(self) -> dict[str, str]:
        """A user's environment: Ultralytics behaves differently where it sees pytest's variable."""
        private = ("PYTEST_CURRENT_TEST", "DVC_ROOT", "OMP_NUM_THREADS")
        return {name: value for name, value in os.environ.items() if name not in private}

    def message(self, stage: str, *overrides: str) -> str:
        """What a person reads when the stage refuses: one message, no traceback, and no output was written."""
        before = self.files()
        result = self.run(stage, *overrides, check=False)
        assert result.returncode == 1, result.stdout + result.stderr
        assert "Traceback" not in result.stderr, result.stderr
        assert self.files() == before, "a refused stage left files"
        return " ".join(result.stderr.split())

    def files(self) -> dict[str, bytes]:
        """The outputs: every file but code, config and the cache."""
        folders = ("data", "models", "metrics", "results", "effective")
        paths = (path for folder in folders for path in (self.root / folder).rglob("*"))
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths if path.is_file()}

    def copy(self, root: Path) -> Workspace:
        """Another folder with the same content."""
        return Workspace(Path(shutil.copytree(self.root, root, symlinks=True)))


def make(root: Path) -> Workspace:
    """A workspace at `root`, which is created."""
    root.mkdir(parents=True)
    for name in ("src", "conf"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(PROJECT / name, root / name)
    return Workspace(root)


class Forks:
    """forks.py, which imports the engines once and gives each stage a process of its own: seconds saved every time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            env=environment | {"OMP_NUM_THREADS": "1", "YOLO_CONFIG_DIR": str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, root: Path, argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """`python <argv>` in `root`."""
        out, err = self.folder / "out", self.folder / "err"
        order = {"root": str(root), "argv": argv, "environment": environment, "out": str(out), "err": str(err)}
        assert self.server.stdin and self.server.stdout
        print(json.dumps(order), file=self.server.stdin, flush=True)
        code = self.server.stdout.readline()
        assert code, "forks.py has ended"
        return subprocess.CompletedProcess(argv, int(code), out.read_text(), err.read_text())


@cache
def forks() -> Forks:
    """This process's; it ends with the process, as its input does."""
    return Forks()
