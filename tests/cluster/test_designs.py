"""The shipped designs end with the same table, bit for bit, wherever they are carried out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trivial
from remotes import published

from lab.nested_keys import flat
from lab.records.project import Project

DESIGNS = ("classification_lr_sweep", "classification_cross_site", "classification_quantization")


@pytest.mark.nightly
@pytest.mark.xdist_group("designs")
@pytest.mark.parametrize("design", DESIGNS)
def test_the_table_is_the_same_everywhere(
    design: str, slurm: Any, ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(os.environ["EXP_PROJECT"])
    before = tmp_path / "before"
    shutil.copytree(source, before, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", "storage"))

    def call(root: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=root, env=trivial.environ(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(before, "git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "Test", "user.email": "test@localhost"}.items():
        call(before, "git", "config", key, value)
    call(before, "dvc", "remote", "modify", "storage", "url", str(tmp_path / "storage"))
    call(before, "git", "add", "-A")
    call(before, "git", "commit", "-q", "-m", "a project")
    tables = {}
    for name in ("dvc", "dvc-workers", "slurm", "ray"):
        root = Path(shutil.copytree(before, tmp_path / name))
        published(root)
        call(root, sys.executable, "-m", "lab", "run", design, "--force", "--on", name)
        project = Project(root)
        finished = [record for record in project.records() if record.experiment.get("design") == design]
        tables[name] = {record.name: measured(project, record.metrics) for record in finished}
    assert tables["dvc"]
    assert all(table == tables["dvc"] for table in tables.values())


def measured(project: Project, metrics: dict[str, Any]) -> dict[str, Any]:
    """All metrics but times, and how busy the machine was meanwhile."""
    values = {f"{file}.{key}": value for file, content in metrics.items() for key, value in flat(content).items()}
    known = {name: project.contract.metric(name) for name in values}
    of_machine = {name for name, entry in known.items() if entry.timing} | {entry.busy for entry in known.values()}
    return {name: value for name, value in values.items() if name not in of_machine}
