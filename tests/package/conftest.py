"""What all tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import answered
import workspace
from trivial import Trivial
from workspace import SMALL, Workspace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks gain nothing from more, and a busy machine loses much

settings.register_profile("project", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("project")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """The workspace of a task with its data prepared: made once, so copy it before you change it."""
    made: dict[str, Workspace] = {}

    def get(task: str) -> Workspace:
        if task not in made:
            made[task] = workspace.make(tmp_path_factory.mktemp("prepared") / task)
            made[task].run("prepare", f"task={task}")
        return made[task]

    return get


@pytest.fixture(scope="session")
def trained(
    prepared: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Workspace]:
    """The workspace of a task with a small model trained for two epochs: made once, so copy it before you change it."""
    made: dict[str, Workspace] = {}

    def get(task: str) -> Workspace:
        if task not in made:
            made[task] = prepared(task).copy(tmp_path_factory.mktemp("trained") / task)
            made[task].run("train", *SMALL[task])
        return made[task]

    return get


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """The project of `answered`, in which two designs have run: made once, so copy it before you change it."""
    return answered.make(tmp_path_factory.mktemp("answers") / "project")


@pytest.fixture(params=["detection", "classification"])
def task(request: pytest.FixtureRequest) -> str:
    """Each task in turn."""
    return request.param


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """A workspace with nothing prepared."""
    return workspace.make(tmp_path / "project")
