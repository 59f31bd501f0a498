"""A DVC older than the pinned one, in an environment of its own: what is queued is what was planned, and it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import contracts
import pytest
import tracked

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv, which makes environments of older versions, is missing"),
]

BESIDE = "pathspec<1 hydra-core optuna pandas pydantic python-dotenv psutil rich typer filelock simpleeval"
BESIDE += " markdown-it-py jinja2 matplotlib scipy statsmodels pytest hypothesis ruamel-yaml setuptools<80"
SCRIPT = """
import json, sys
from pathlib import Path
import trivial
from dvc.repo import Repo
from lab.execution.backend import Job
from lab.execution.dvc import queue_tasks, stock_queue
trivial.compatible = dict  # what this DVC allows is to be found out
project = trivial.make(Path(sys.argv[1]))
runs = [project.run(f"run-{i}", lr=0.1 + i / 10, seed=i) for i in range(4)]
with Repo(str(project.root)) as repo:  # two by DVC's own way, whatever the self-test says, and the rest by lab's
    stock_queue.put(repo, [Job(run.name, run.params, run.target) for run in runs[:2]])
assert [task.name for task in queue_tasks.read(project.root)] == ["run-0", "run-1"]
project.execution().add(runs)
records = project.records().items()
print(json.dumps({name: [record.status, record.params["lr"], record.params["seed"]] for name, record in records}))
"""


@pytest.mark.parametrize("version", ["3.50.3", "3.60.1"])
def test_runs_by_an_older_dvc(version: str, tmp_path: Path) -> None:
    """LAB_DVC_3_50_3 and so on may name a Python that has it."""
    known = os.environ.get(f"LAB_DVC_{version.replace('.', '_')}")
    python = Path(known or tracked.installed(tmp_path / "venv", f"dvc=={version}", *BESIDE.split()))
    sources = contracts.TEMPLATE / "<<cookiecutter.project>>" / "src"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(sources), str(Path(__file__).parent)]),
    }
    command = [python, "-c", SCRIPT, tmp_path / "project"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {f"run-{i}": ["finished", 0.1 + i / 10, i] for i in range(4)}
