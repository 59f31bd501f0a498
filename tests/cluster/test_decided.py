"""Runs that follow from what came out: seeds that grow, a search and its rungs, a budget. As on one machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import clustered
import pytest
from clustered import Clustered
from of_items import GROWS, say_of_items

CLAIM = {"claim": "It is good.", "metric": "infer.f1_macro"}
RUNGS = {
    "kind": "sweep",
    "type": "train",
    "title": "Which rate?",
    "hypothesis": CLAIM | {"expected": 0.5},
    "base": ["training.max_epochs=9"],
    "seeds": [0],
    "sweep": {"parameters": {"lr": [0.1, 0.15, 0.2, 0.25]}, "halving": 2},
}
RATES = {"lr": {"low": 0.1, "high": 0.3}}
SEARCH = RUNGS | {"base": [], "sweep": {"strategy": "bayesian", "max_runs": 3, "parallel": 2, "parameters": RATES}}
SPENT = RUNGS | {"base": [], "sweep": {"parameters": {"lr": [0.1, 0.15, 0.2]}}, "budget": {"runs": 2}}
DESIGNS = {"grows": GROWS, "rungs": RUNGS, "search": SEARCH, "spent": SPENT}


def make(root: Path, engine: str) -> Clustered:
    """A project with these designs."""
    return clustered.make(root, engine, designs=DESIGNS, change=say_of_items)


def table(project: Clustered, design: str, *options: str) -> Any:
    """A design carried out, and what it answers, but for times and commits."""
    done = project.lab("run", design, "--force", *options, check=False)
    assert done.returncode in (0, 1) and " failed" not in done.stdout, done.stdout + done.stderr
    said = json.loads(project.lab("results", design, "--json").stdout)
    own = ("revision", "baseline", "started", "ended", "seconds.train", "seconds.infer")
    return said["answer"], [{key: value for key, value in row.items() if key not in own} for row in said["runs"]]


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clustered]:
    """The same project for each place where runs are carried out."""
    return cache(lambda name: make(tmp_path_factory.mktemp(name) / "project", name))


@pytest.mark.nightly
@pytest.mark.parametrize("design", DESIGNS)
def test_what_follows_is_what_follows_on_one_machine(
    design: str, engine: str, projects: Callable[[str], Clustered]
) -> None:
    project = projects(engine)
    assert table(project, design, "--on", engine) == table(projects("dvc"), design, "-j", "2")
    assert project.left() == []
