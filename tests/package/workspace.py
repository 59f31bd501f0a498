"""A copy of the project to run its stages in, as a person or DVC would: scripts in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
QUESTIONS = [
    "baseline",
    "lr_sweep",
    "random_sweep",
    "bayesian_sweep",
    "architecture",
    "ablation",
    "ab_benchmark",
    "quantization",
    "cross_site",
    "augmentation",
    "ensemble",
    "multi_scale",
]
SHIPPED = [  # the designs that came with the project, as far as they are still there; other designs are nobody's test
    path
    for task in ("classification", "detection")
    for question in QUESTIONS
    if (path := PROJECT / "designs" / f"{task}_{question}.yaml").exists()
]
SMALL = {
    "detection": ["task=detection", "model=yolo11t", "training.max_epochs=2"],
    "classification": ["task=classification", "model=tiny", "training.max_epochs=2"],
}  # real trainings that take seconds


@dataclass
class Workspace:
    """A folder with the project's code and config, without its data, models and results."""

    root: Path

    def run(self, stage: str, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python src/<stage>.py <overrides>`. With `check`, a failure fails the test and shows the output."""
        command, environment = self.command(stage, *overrides), self.environment()
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def run_each(self, stage: str, *runs: list[str]) -> list[str]:
        """Run a stage with each list of overrides, in one process; the hash of the model that each of them left."""
        script = f"""
import sys; sys.path.insert(0, "src")
from hashlib import sha256
from pathlib import Path
from project import load
for overrides in {runs!r}:
    load("vision.stage").run({stage!r}, load("vision.config").load(overrides))
    print("model", sha256(Path("models/model.pt").read_bytes()).hexdigest())
"""
        command, environment = [sys.executable, "-c", script], self.environment()
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
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
