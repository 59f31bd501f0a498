"""cruft: create, check, diff and update, with a template that changes and a project that was edited."""

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cruft
import pytest
from conftest import TEMPLATE, BakedProject
from cookiecutter.exceptions import FailedHookException

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "demo*", "__pycache__", ".*_cache")
PROJECT = "<<cookiecutter.project>>"
BEFORE = "793bb1c"  # the last commit whose machinery lay in the project's own package
README = (TEMPLATE / "README.md").read_text()
CHANGELOG = (TEMPLATE / "CHANGELOG.md").read_text()


def commit(folder: Path, message: str) -> None:
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", message]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def template(tmp_path: Path, own_settings) -> Path:
    """A repository with the working tree's template as its only commit."""
    shutil.copytree(TEMPLATE, tmp_path / "template", ignore=LEFT_OUT)
    commit(tmp_path / "template", "first")
    return tmp_path / "template"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> BakedProject:
    """A project made by cruft, committed by its owner."""
    answers = {"task": "classification", "ci": "gitlab", "author": 'A "B" <c>'}
    path = cruft.create(str(template), output_dir=tmp_path, extra_context=answers, no_input=True)
    assert not (path / ".git").exists()
    commit(path, "start")
    return BakedProject(path)


def different(project: BakedProject, baked: BakedProject) -> list[str]:
    return [name for name in baked.files() if (project.path / name).read_bytes() != (baked.path / name).read_bytes()]


def test_cruft_makes_what_cookiecutter_makes(project, bake):
    baked = bake(task="classification", ci="gitlab", author='A "B" <c>')
    assert project.files() == baked.files() | {".cruft.json"}
    assert not different(project, baked)


def test_update_brings_the_template_s_changes_and_keeps_edits(project, template, capfd):
    change(project.path / "README.md", "## Experiments\n", "## Our experiments\n")
    change(project.path / "conf/config.yaml", "seed: 0", "seed: 7")
    (project.path / "src/ours.py").write_text("ours = True\n")
    commit(project.path, "edits")
    assert cruft.check(project.path)

    change(template / PROJECT / "README.md", "## Licences\n", "## Licences of all of it\n")
    change(template / PROJECT / "Makefile", ".PHONY: setup", ".PHONY: new setup")
    (template / PROJECT / "conf/new.yaml").write_text("for: << cookiecutter.package >>\n")
    (template / PROJECT / ".editorconfig").unlink()
    commit(template, "second")
    assert not cruft.check(project.path)

    capfd.readouterr()
    cruft.diff(project.path)
    difference = capfd.readouterr().out
    assert "-## Our experiments" in difference  # from the project to the template
    assert ".git/" not in difference

    assert cruft.update(project.path, skip_apply_ask=True)
    status = project.run("git", "status", "--porcelain").stdout.splitlines()
    assert not [line for line in status if line.startswith("U")]  # cruft ends well with conflicts too
    assert {line[3:] for line in status} == {".cruft.json", ".editorconfig", "Makefile", "README.md", "conf/new.yaml"}
    assert "## Our experiments\n" in project.read("README.md")
    assert "## Licences of all of it\n" in project.read("README.md")
    assert "seed: 7" in project.read("conf/config.yaml")
    assert project.read("conf/new.yaml") == "for: vision_lab\n"
    assert (project.path / "src/ours.py").is_file()
    assert cruft.check(project.path)


def test_an_answer_can_be_changed_later(project):
    assert cruft.update(project.path, skip_apply_ask=True, extra_context={"ci": "github"})
    assert (project.path / ".github/workflows/ci.yml").is_file()
    assert not (project.path / ".gitlab-ci.yml").exists()


def documented(page: str, words: str) -> list[str]:
    """The one command of a page's shell blocks that begins with these words, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (line,) = {line for block in blocks for line in block.splitlines() if line.startswith(words)}
    return shlex.split(line, comments=True)


def in_a_terminal(command: list[str], folder: Path) -> str:
    """What a person sees of a command that must succeed. It is asked nothing that it would wait for."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours, its = pty.openpty()
    streams = {"stdin": its, "stdout": its, "stderr": its}
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PATH": tools}, start_new_session=True, **streams)
    os.close(its)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # Linux says so at the end
            break
    else:
        process.kill()
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


@pytest.fixture(scope="module")
def before(tmp_path_factory, own_settings) -> Path:
    """A repository with the template as it was, to which `renew` brings the working tree's."""
    known = subprocess.run(["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=TEMPLATE, capture_output=True)
    if known.returncode:
        pytest.skip(f"{BEFORE} is not here: git fetch --unshallow")
    old = subprocess.run(["git", "archive", BEFORE], cwd=TEMPLATE, check=True, capture_output=True).stdout
    folder = tmp_path_factory.mktemp("before") / "template"
    with tarfile.open(fileobj=BytesIO(old)) as archive:
        archive.extractall(folder, filter="data")
    commit(folder, "as it was")
    return folder


def renew(template: Path) -> None:
    subprocess.run(["git", "rm", "-rq", "."], cwd=template, check=True)
    shutil.copytree(TEMPLATE, template, ignore=LEFT_OUT, dirs_exist_ok=True)
    commit(template, "as it is")


@pytest.fixture
def old_project(before, tmp_path) -> Callable[..., tuple[BakedProject, Path]]:
    """old_project(package="parts"): a project of the old template, and that template's repository, now renewed."""

    def make(**answers: str) -> tuple[BakedProject, Path]:
        template = tmp_path / "template"
        shutil.copytree(before, template)
        project = BakedProject(cruft.create(str(template), output_dir=tmp_path, extra_context=answers, no_input=True))
        commit(project.path, "start")
        renew(template)
        return project, template

    return make


def conflicts(project: BakedProject) -> list[str]:
    """What git status and cruft's second strategy leave to a person."""
    status = project.run("git", "status", "--porcelain").stdout.splitlines()
    unmerged = [line for line in status if "U" in line[:2] or line[:2] in ("AA", "DD")]
    return unmerged + [name for name in project.files() if name.endswith(".rej")]


def test_the_readme_s_commands_work_in_a_terminal(project, template):
    (template / PROJECT / "conf/new.yaml").write_text("new: true\n")
    commit(template, "second")
    said = in_a_terminal(documented(README, "cruft update"), project.path)
    assert "Good work!" in said
    assert project.read("conf/new.yaml") == "new: true\n"
    assert "up to date" in in_a_terminal(documented(README, "cruft check"), project.path)


def test_an_old_project_comes_along(old_project, bake):
    """From the machinery in its own package to src/lab, with edits and results; there is nothing to resolve."""
    answers = {"project": "parts", "task": "detection"}
    project, _ = old_project(**answers)
    edits = {
        "designs/detection_lr_sweep.yaml": ("seeds: [0, 1, 2]", "seeds: [0, 1, 2, 3, 4]"),
        "conf/training/default.yaml": ("max_epochs: ${model.recipe.max_epochs}", "max_epochs: 30"),
        "conf/config.yaml": ("seed: 0", "seed: 7"),
        "params.yaml": ("\nseed: 0", "\nseed: 7"),
    }
    for name, (old, new) in edits.items():
        change(project.path / name, old, new)
    results = {
        f"metrics/{stage}.json": json.dumps({"images": 48, "mAP50": 0.95}) for stage in ("train", "infer", "quant")
    }
    results |= {
        "dvc.lock": "schema: '2.0'\nstages: {}\n",
        "effective/infer.yaml": "seed: 7\n",
        "designs/ours.yaml": project.read("designs/detection_baseline.yaml"),
        "docs/04-report/2026-11-01_ours/report.md": "# Ours\n",
    }
    for name, text in results.items():
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_text(text)
    commit(project.path, "our first results")

    assert "Good work!" in in_a_terminal(documented(README, "cruft update"), project.path)

    assert conflicts(project) == []
    baked = bake(**answers)
    assert project.files() == baked.files() | results.keys() | {".cruft.json"}
    assert {name: project.read(name) for name in results} == results
    for name, (old, new) in edits.items():
        assert project.read(name) == baked.read(name).replace(old, new)
    others = baked.files() - edits.keys() - {".dvc/config"}
    assert [name for name in others if (project.path / name).read_bytes() != (baked.path / name).read_bytes()] == []
    assert cruft.check(project.path)


@pytest.mark.nightly
def test_a_package_called_lab_is_renamed_as_the_changelog_says(old_project, bake):
    project, template = old_project(project="parts", package="lab")
    said = in_a_terminal(documented(CHANGELOG, "cruft update --skip-apply-ask --variables"), project.path)
    assert "Good work!" in said
    assert conflicts(project) == []
    baked = bake(project="parts", package="parts")
    assert project.files() == baked.files() | {".cruft.json"}
    assert not different(project, baked)


def test_a_package_called_lab_stays_updatable(old_project):
    """Not refused, as a new project would be: but it is said what to do."""
    project, _ = old_project(project="parts", package="lab")
    said = in_a_terminal(documented(README, "cruft update"), project.path)
    assert "rename it, as CHANGELOG.md says" in said
    assert "Good work!" in said


def test_cruft_refuses_a_new_package_called_lab(template, tmp_path):
    with pytest.raises(FailedHookException):
        cruft.create(str(template), output_dir=tmp_path, extra_context={"package": "lab"}, no_input=True)
