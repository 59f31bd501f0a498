"""Baking projects, and running commands in them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2]
QUESTIONS = {key for key in json.loads((TEMPLATE / "cookiecutter.json").read_text()) if not key.startswith("_")}
# What would tell a command that it runs inside a test or a CI, or a `make` that it runs inside another.
HIDDEN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTEST_", "CI", "MAKE", "MFLAGS")


@dataclass(frozen=True)
class BakedProject:
    path: Path

    def files(self) -> set[str]:
        """All files but git's own."""
        paths = (path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_dir())
        return {path.as_posix() for path in paths if path.parts[0] != ".git"}

    def texts(self) -> set[str]:
        """Those that people read: all but pictures."""
        return {name for name in self.files() if not name.endswith(".png")}

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def run(
        self, *command: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command in the project, with its environment first on PATH. It must succeed, unless told not to."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
        variables["PATH"] = f"{self.path / '.venv/bin'}{os.pathsep}{variables['PATH']}"
        done = subprocess.run(command, cwd=self.path, env=variables | (env or {}), capture_output=True, text=True)
        if check and done.returncode:
            said = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            raise AssertionError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{said}")
        return done


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # the last ones are short: nobody waits long


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own settings of git and cookiecutter: yours change nothing here, and nothing here changes yours."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "git").write_text("[user]\n\tname = Tester\n\temail = tester@localhost\n[init]\n\tdefaultBranch = main\n")
    (folder / "cookiecutter").write_text(f"cookiecutters_dir: {folder}/templates\nreplay_dir: {folder}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "git"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("COOKIECUTTER_CONFIG", str(folder / "cookiecutter"))
        for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            patch.delenv(variable, raising=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it would be ignored
        yield


@pytest.fixture(scope="session")
def bake(cookies_session, own_settings) -> Callable[..., BakedProject]:
    """bake(task="classification") bakes a project. With environment=…, that becomes its .venv."""

    def bake(environment: Path | None = None, **options: str) -> BakedProject:
        unknown = options.keys() - QUESTIONS
        assert not unknown, f"no such option, and cookiecutter would say nothing: {', '.join(sorted(unknown))}"
        result = cookies_session.bake(extra_context=options, template=str(TEMPLATE))
        if result.exception:
            raise result.exception
        project = BakedProject(result.project_path)
        if environment:
            (project.path / ".venv").symlink_to(environment)
        return project

    return bake


@pytest.fixture(scope="session")
def environment(bake) -> Iterator[Path]:
    """What `make setup` of a project installs: made once, shared by all that run something.

    EXP_TEMPLATE_VENV names one that is there already, to save the minutes.
    """
    if ready := os.environ.get("EXP_TEMPLATE_VENV"):
        yield Path(ready)
        return
    project = bake(project="environment-lab", tracking="mlflow+wandb")  # all that any project may need
    tools = Path(sys.executable).parent  # has uv, which installs in one minute what takes pip several
    project.run("make", "setup", env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    yield project.path / ".venv"
