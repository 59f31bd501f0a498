"""cruft: create, check, diff and update, with a template that changes and a project that was edited."""

import shutil
import subprocess
from pathlib import Path

import cruft
import pytest
from conftest import TEMPLATE, BakedProject

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "demo*", "__pycache__", ".*_cache")
PROJECT = "<<cookiecutter.project>>"


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


def test_cruft_makes_what_cookiecutter_makes(project, bake):
    baked = bake(task="classification", ci="gitlab", author='A "B" <c>')
    assert project.files() == baked.files() | {".cruft.json"}
    assert not [name for name in baked.files() if project.read(name) != baked.read(name)]


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
