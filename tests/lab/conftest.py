"""What the machinery's tests share. src/lab is imported from where it lies in the template: nothing is baked."""

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2] / "<<cookiecutter.project>>" / "src"))

import answered  # these import lab
import contracts
import trivial
from trivial import Trivial

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tables gain nothing from more, and a busy machine loses much

gc.set_threshold(100_000, 50, 50)  # a tenth of what many tests compute

settings.register_profile("lab", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # the last ones are short: nobody waits long


@pytest.fixture(scope="session")
def tree() -> Path:
    """The template's conf/, designs/, dvc.yaml, params.yaml and lab.yaml as a project has them. Not to be changed."""
    return contracts.tree()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A trivial project in which nothing has run: made once, so copy it before you change it."""
    return trivial.make(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """The project of `answered`, in which two designs have run: made once, so copy it before you change it."""
    return answered.make(tmp_path_factory.mktemp("answers") / "project")
