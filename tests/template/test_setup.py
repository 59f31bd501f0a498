"""What `make setup` says and asks of uv, and that the project's CI is what its own linters want."""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from conftest import BakedProject

TOOLS = Path(sys.executable).parent
# Says what it was asked, and makes what the rest of `make setup` needs.
UV = """#!/bin/sh
echo "uv $*"
mkdir -p .venv/bin && printf '#!/bin/sh\\n' > .venv/bin/python && chmod +x .venv/bin/python
"""


@pytest.fixture(scope="module")
def project(bake) -> BakedProject:
    return bake(project="setup-lab")


def setup(project: BakedProject, tmp_path: Path, *variables: str) -> tuple[str, list[str]]:
    """What `make setup` says, and the packages that it wants, without installing them."""
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    said = project.run("sh", "-c", f"PATH='{tmp_path}':$PATH make setup {' '.join(variables)}").stdout
    return said, project.read(".venv/requirements.txt").splitlines()


def name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def needed(installed: dict[str, Distribution], wanted: set[str]) -> set[str]:
    """What these packages need that is installed, but of torch only what is no part of CUDA."""
    found, left = set(), set(wanted)
    while left:
        package = left.pop()
        found.add(package)
        for line in installed[package].requires or ():
            if "extra ==" not in line and not (package == "torch" and re.match("nvidia|cuda|triton", line)):
                left |= {name(line)} & installed.keys() - found
    return found


def test_setup_says_how_much_it_is(project, tmp_path, environment):
    said, wanted = setup(project, tmp_path)
    assert wanted == project.read("requirements.txt").splitlines()
    assert "--torch-backend" not in said and "make setup TORCH=cpu" in said
    size = float(re.search(r"([\d.]+) GB on disk", said)[1])
    files = {file.st_ino: file.st_size for file in (path.lstat() for path in environment.rglob("*"))}
    assert size == pytest.approx(sum(files.values()) / 1e9, rel=0.15)


def test_torch_for_cpus_leaves_out_cuda_and_nothing_else(project, tmp_path, environment):
    """The list alone: PyTorch's index of CPU builds was not at hand where this was written."""
    said, wanted = setup(project, tmp_path, "TORCH=cpu")
    assert "--torch-backend cpu" in said and "0.8 GB to download" in said
    pinned = {name(line) for line in project.read("requirements.txt").splitlines() if "==" in line}
    packages = {name(line) for line in wanted if "==" in line}
    site = [str(folder) for folder in environment.glob("lib/python*/site-packages")]
    installed = {name(d.metadata["Name"]): d for d in distributions(path=site)}
    asked = {name(line) for line in re.findall(r'"([\w.-]+)(?:\[\w+\])?==', project.read("pyproject.toml"))}
    assert pinned - packages >= {"nvidia-cublas", "triton"}
    assert needed(installed, asked & installed.keys() & pinned) & pinned <= packages


def test_another_torch_is_refused(project):
    done = project.run("make", "setup", "TORCH=gpu", check=False)
    assert done.returncode and "TORCH=gpu is not known" in done.stderr and not done.stdout


@pytest.mark.skipif(not (TOOLS / "zizmor").exists(), reason="an environment from before: tests/requirements.txt")
def test_github_s_workflows_are_safe(project):
    command = [TOOLS / "zizmor", "--offline", "--no-progress", "--quiet", "."]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not (TOOLS / "repo-review").exists(), reason="an environment from before: tests/requirements.txt")
def test_the_project_keeps_scientific_python_s_rules(project):
    command = [TOOLS / "repo-review", "--format", "json", "."]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
    checks = json.loads(done.stdout)["checks"]
    assert len(checks) > 30
    assert {key: check["err_msg"] for key, check in checks.items() if check["result"] is False} == {}
