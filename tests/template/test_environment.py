"""What `make setup` makes: `lab`, `python -m lab` and a notebook find the code of the project that they are used in."""

import os
import sys
from pathlib import Path

import pytest
from conftest import BakedProject

pytestmark = pytest.mark.slow
WHERE = "import lab; print(lab.__file__)"
# The launcher that `make setup` wrote until 793bb1c.
OLD_LAUNCHER = """#!/bin/sh
bin=$(dirname "$0")
project=$(dirname "$(dirname "$bin")")
exec "$bin/python" "$project/src/lab.py" "$@"
"""


def code(project: BakedProject) -> str:
    return str(project.path / "src" / "lab" / "__init__.py")


@pytest.fixture(scope="module")
def linked(bake, environment) -> BakedProject:
    """A project whose environment is a link to another one's."""
    return bake(environment, project="linked-lab")


def found(project: BakedProject) -> dict[str, str]:
    """The code that each way of use gets, from folders in and outside of the project."""
    folders = {"root": project.path, "designs": project.path / "designs", "elsewhere": project.path.parent}
    notebook = "from lab.design import design_file; import lab; print(lab.__file__)"
    ways = {}
    for name, folder in folders.items():
        inside = f"cd '{folder}' && exec"
        ways[f"notebook in {name}"] = project.run("sh", "-c", f'{inside} python -c "{notebook}"').stdout.strip()
        ways[f"import in {name}"] = project.run("sh", "-c", f"{inside} python -c '{WHERE}'").stdout.strip()
    return ways


def test_an_environment_serves_the_project_it_is_linked_in(linked):
    assert set(found(linked).values()) == {code(linked)}
    help_of = {
        linked.run("sh", "-c", f"cd '{folder}' && {command} --help").stdout
        for folder in (linked.path, linked.path / "designs", linked.path.parent)
        for command in ("lab", "python -m lab", f"'{linked.path}/.venv/bin/lab'")
    }
    assert len(help_of) == 1 and "lab [OPTIONS] COMMAND" in help_of.pop()


def test_modules_beside_the_user_are_not_lab_s(linked, tmp_path):
    """`lab` takes nothing from the folder that it is called in."""
    for name in ("lab", "typer", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    linked.run("sh", "-c", f"cd '{tmp_path}' && lab --help")


def test_another_checkout_s_scripts_import_their_own_code(linked, tmp_path):
    """As a queued experiment's do: the folder of a script goes before the environment's path."""
    (tmp_path / "src" / "lab").mkdir(parents=True)
    (tmp_path / "src" / "lab" / "__init__.py").touch()
    (tmp_path / "src" / "stage.py").write_text(WHERE)
    done = linked.run("sh", "-c", f"cd '{tmp_path}' && python src/stage.py")
    assert done.stdout.strip() == str(tmp_path / "src" / "lab" / "__init__.py")


@pytest.fixture
def old_lab(linked) -> str:
    """The `lab` of an environment from before."""
    folder = linked.path / ".old" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lab").write_text(OLD_LAUNCHER)
    (folder / "python").write_text(f"#!/bin/sh\nexec '{linked.path}/.venv/bin/python' \"$@\"\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    return str(folder / "lab")


def test_an_old_environment_s_lab_works(linked, old_lab):
    assert linked.run(old_lab, "--help").stdout == linked.run("lab", "--help").stdout


def test_or_says_make_setup(linked, old_lab, tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')\n")
    done = linked.run(old_lab, "status", env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "lab: the environment is older than the code, typer is not installed: make setup"
    ]


def test_lab_s_packages_are_enough_for_lab_and_light_and_the_project_can_be_moved(bake):
    """`make setup-lab`, as the review job of CI does it: real, because it takes seconds."""
    project = bake(project="light-lab")
    tools = Path(sys.executable).parent
    project.run("make", "setup-lab", env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    files = [path.lstat() for path in (project.path / ".venv").rglob("*")]
    size = sum({file.st_ino: file.st_blocks * 512 for file in files}.values())
    assert size <= 800e6, f"{size / 1e6:.0f} MB"
    assert "all 3 compose" in project.run("lab", "check", "detection_baseline").stdout
    assert "3 runs" in project.run("lab", "plan", "detection_baseline").stdout
    project.run("lab", "status")
    assert "0 runs new" in project.run("lab", "mirror", "--all").stdout
    heavy = "from importlib.util import find_spec as find; print(find('torch'), find('openvino'), find('ultralytics'))"
    assert project.run("python", "-c", heavy).stdout.split() == ["None"] * 3

    moved = BakedProject(project.path.rename(project.path.parent / "moved"))
    assert set(found(moved).values()) == {code(moved)}
    moved.run("lab", "--help")
