"""What the package's tests share. They run in the environment of a baked project, which EXP_PROJECT names."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

sys.path.insert(0, str(Path(os.environ["EXP_PROJECT"]).resolve() / "src"))

import workspace  # noqa: E402  (finds the package there)
from workspace import SMALL, Workspace  # noqa: E402

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks gain nothing from more, and a busy machine loses much

gc.set_threshold(100_000, 50, 50)  # a tenth of what many tests compute

settings.register_profile("package", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("package")

Make = Callable[[Path], None]
Get = Callable[[str], Workspace]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of what takes long to make go to the process that makes it: another would only wait for it."""
    for item in items:
        if "used" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(Path(item.path).stem))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # the last ones are short: nobody waits long


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Workspace]:
    """A workspace by its name, made by the first of pytest-xdist's workers that asks for it: copy it to change it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "workspaces"
    shared.mkdir(exist_ok=True)

    def get(name: str, make: Make) -> Workspace:
        with FileLock(shared / f"{name}.lock"):
            if not (shared / f"{name}.ready").exists():
                make(shared / name)
                (shared / f"{name}.ready").touch()
        return Workspace(shared / name)

    return get


@pytest.fixture(scope="session")
def prepared(once: Callable[[str, Make], Workspace]) -> Get:
    """The workspace of a task with its data prepared."""

    def get(task: str) -> Workspace:
        return once(f"prepared-{task}", lambda root: workspace.make(root).run("prepare", f"task={task}"))

    return get


@pytest.fixture(scope="session")
def trained(prepared: Get, once: Callable[[str, Make], Workspace]) -> Get:
    """The workspace of a task with a small model trained for two epochs."""

    def get(task: str) -> Workspace:
        return once(f"trained-{task}", lambda root: prepared(task).copy(root).run("train", *SMALL[task]))

    return get


@pytest.fixture(params=["detection", "classification"])
def task(request: pytest.FixtureRequest) -> str:
    """Each task in turn."""
    return request.param


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """A workspace with nothing prepared."""
    return workspace.make(tmp_path / "project")
