"""The small project of the machinery's tests, with remotes that nodes reach; its stages note their calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import trivial
import yaml
from remotes import published
from trivial import Trivial

from lab.design.plan import Run
from lab.execution.backend import Backend
from lab.execution.registry import backend
from lab.records.project import Project

SLEEP = """sleep = float(os.environ.get("TRIVIAL_SLEEP", 0))"""
SLOW = """sleep = params["infer"].get("sleep", 0)"""  # nodes have another environment than whoever asks for a run


@dataclass
class Clustered(Trivial):
    """Such a project, carried out on the cluster `name`."""

    name: str = "slurm"

    def backend(self) -> Backend:  # type: ignore[override]
        return backend(self.root, self.name)

    def project(self) -> Project:
        own = self.backend()
        return Project(self.root, pending=lambda: list(own.pending()))

    def run(self, *arguments: Any, sleep: float = 0, **named: Any) -> Run:
        run = super().run(*arguments, **named)
        run.params["infer"]["sleep"] = sleep
        return run

    def calls(self, stage: str) -> list[str]:
        path = self.nodes / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{stage} ") for line in lines if line.startswith(f"{stage} ")]

    @property
    def nodes(self) -> Path:
        """Where nodes keep their checkouts."""
        return self.root.with_name(f"{self.root.name}-nodes")

    def checkouts(self) -> list[Path]:
        """Those that are there now."""
        return [path for path in self.nodes.glob("*") if path.name not in ("cache", "calls.txt", "environments")]

    def left(self) -> list[psutil.Process]:
        """Processes of runs."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.nodes) in process.environ().get("LAB_TASK", ""):
                    found.append(process)
        return found

    def at_remote(self) -> list[str]:
        """The names of the experiments that the git remote has."""
        lines = self.call("git", "ls-remote", "origin", "refs/exps/*").stdout.splitlines()
        return sorted(line.rpartition("/")[2] for line in lines)

    def results(self) -> dict[str, Any]:
        """What is in the experiments, but for times and machines: by name the metrics, and all that DVC noted."""
        git, found = Project(self.root).git, {}
        for experiment in git.experiments():
            lock = yaml.safe_load(git.text(experiment.commit, "dvc.lock"))["stages"]
            for stage in lock.values():
                stage["outs"] = [out for out in stage["outs"] if not out["path"].startswith(("effective", "dvclive"))]
            metrics = {
                name: git.text(experiment.commit, f"metrics/{name}") for name in git.names(experiment.commit, "metrics")
            }
            found[experiment.name] = (experiment.baseline, git.text(experiment.commit, "params.yaml"), metrics, lock)
        return found


def make(
    root: Path,
    name: str = "slurm",
    clusters: str = "",
    designs: dict[str, Any] | None = None,
    change: Callable[[Path], None] = lambda root: None,
) -> Clustered:
    """Such a project at `root`, which is created, with a change before it is committed."""
    project = trivial.make(root)
    script = root / "src" / "stand_in.py"
    script.write_text(script.read_text().replace(SLEEP, SLOW))
    project.call("dvc", "remote", "modify", "storage", "url", str(root.with_name(f"{root.name}-storage")))
    (root / "designs").mkdir()
    for design, content in (designs or {}).items():
        (root / "designs" / f"{design}.yaml").write_text(yaml.safe_dump(content))
    change(root)
    project.commit("remotes")
    published(root, clusters)
    return Clustered(root, name)


def until(condition: Callable[[], Any], seconds: float = 240) -> Any:
    """Wait for nodes."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)
    return value
