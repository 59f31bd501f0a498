"""What the stages import is looked for before they are queued, and nothing of it is imported."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from trivial import Trivial

from lab.execution import preflight_inputs
from lab.execution.stage_imports import imported, missing_packages, not_found, scripts
from lab.records.project import Project
from lab.store import Store

PIPELINE = "stages:\n  fit: {cmd: python -u src/fit.py --fast, deps: [src/fit.py, tools/readers], metrics: [s.json]}\n"
FILES = {
    "dvc.yaml": PIPELINE,
    "lab.yaml": "types: {fit: fit}\n",
    "params.yaml": "{}\n",
    "src/fit.py": "import json\nimport absent_one.part, own\nfrom package import here\nfrom tools import readers\n",
    "src/own.py": "try:\n    import absent_optional\nexcept ImportError:\n    pass\nimport numpy as np\n",
    "src/unused.py": "import absent_unused\n",
    "src/package/__init__.py": "def late():\n    import absent_late\n",
    "src/package/here.py": "from . import there\nfrom .there import x\n",
    "src/package/there.py": "x = 1\nclass A:\n    from absent_two import y\nif x > 1:\n    import absent_three\n",
    "tools/readers/any.py": "import absent_dynamic\n",
    "tools/readers/broken.py": "import absent_broken\ndef (\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Trivial:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    made = Trivial(tmp_path)
    for command in ("init -q -b main", "add -A", "-c user.name=T -c user.email=t@x commit -qm start"):
        made.call("git", *command.split())
    return made


def test_what_is_imported_at_once_and_not_installed_is_told_with_its_place(project: Trivial) -> None:
    run = project_run()
    said = missing_packages(Project(project.root), run)
    assert said.splitlines()[:-1] == [
        "src/fit.py, line 2: absent_one is not installed",
        "tools/readers/any.py, line 1: absent_dynamic is not installed",
        "src/package/there.py, line 3: absent_two is not installed",
    ]
    (project.root / "src" / "fit.py").write_text("import own\n")
    (project.root / "tools" / "readers" / "any.py").write_text("")
    assert missing_packages(Project(project.root), run) == ""


def test_of_a_folder_with_the_script_in_it_only_what_is_imported_counts(project: Trivial) -> None:
    modules = imported(Project(project.root), PurePosixPath("."), "src/fit.py", ["src", "s3://elsewhere"])
    assert set(modules) == {"absent_one", "absent_two", "numpy"}


def project_run() -> Any:
    return SimpleNamespace(runs=[SimpleNamespace(target="fit", params={})])


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python a.py", [("python", "a.py")]),
        ("mkdir x && bin/python3.12 -u a.py -x b.py; python b.py", [("bin/python3.12", "a.py"), ("python", "b.py")]),
        ("(python a.py;python b.py)|tee log", [("python", "a.py"), ("python", "b.py")]),
        ("python -m package.train", []),
        ("Rscript a.R 'unclosed", []),
    ],
)  # fmt: skip
def test_scripts_of_a_command(command: str, found: list[tuple[str, str]]) -> None:
    assert list(scripts(command)) == found


def test_another_python_is_asked_itself(tmp_path: Path) -> None:
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.write_text('#!/bin/sh\nshift 2\necho "$2"\n')  # has not the second of what it is asked for
    other.chmod(0o755)
    assert not_found(tmp_path, str(other), ["json", "numpy"]) == {"numpy"}
    assert not_found(tmp_path, "python", ["json", "numpy", "absent_one"]) == {"absent_one"}
    other.write_text("#!/bin/sh\nexit 3\n")
    assert not_found(tmp_path, str(other), ["absent_one"]) == set(), "it can't be asked"


# What else the machine has to have


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://b/x", "dvc-s3"), ("gs://b", "dvc-gs"), ("azure://b", "dvc-azure"), ("ssh://h/x", "dvc-ssh"),
        ("https://h/x", ""), ("/folder", ""), ("", ""), ("remote://far/x", "dvc-ssh"), ("remote://none/x", ""),
    ],
)  # fmt: skip
def test_a_remote_s_package(url: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.remote.find_spec", lambda name: object() if name == "dvc_http" else None)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("['remote \"far\"']\n    url = ssh://h/y\n")
    assert Store(tmp_path).package_lacking(url) == package


def test_a_lock_of_dvc_1_is_refused_and_the_command_mends_it(project: Trivial) -> None:
    """DVC takes what the command makes of it, and has nothing to run."""
    project.call("dvc", "init", "-q")
    (project.root / "src" / "fit.py").write_text("open('s.json', 'w').write('{}')\n")
    project.call("dvc", "repro", "-q")
    lock = project.root / "dvc.lock"
    head, _, stages = lock.read_text().partition("stages:\n")
    assert "2.0" in head
    lock.write_text("".join(line.removeprefix("  ") for line in stages.splitlines(keepends=True)))
    commit(project)
    said = preflight_inputs.old_lock(Project(project.root))
    assert "as DVC 1 wrote it" in said
    assert project.call("dvc", "status", check=False).returncode != 0
    project.call("sh", "-c", said.partition("now: ")[2].partition(", and git")[0])
    commit(project)
    assert preflight_inputs.old_lock(Project(project.root)) == ""
    assert "up to date" in project.call("dvc", "status").stdout


def commit(project: Trivial) -> None:
    project.call("git", "add", "-A")
    project.call("git", "-c", "user.name=T", "-c", "user.email=t@x", "commit", "-qm", "change")
