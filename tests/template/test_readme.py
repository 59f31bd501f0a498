"""What the two READMEs tell people to type is real."""

import re
import shlex

import pytest
from conftest import TEMPLATE, BakedProject
from test_bake import CHOICES

# Composes conf/ with overrides as a stage would; the package is found as the stage scripts find it.
COMPOSE = """
import sys
sys.path.insert(0, "src")
from importlib import import_module
from pathlib import Path
package = next(Path("src").glob("*/shared/stage.py")).parents[1].name
config = import_module(f"{package}.shared.config").load(sys.argv[1:])
"""


def commands(readme: str) -> list[list[str]]:
    """The lines of the shell blocks, each split into words, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [re.split(r"\s+#\s", line)[0] for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&") if part.strip()]


def overrides(command: list[str]) -> list[str]:
    words = (
        command[2:] if command[0] == "python" else [b for a, b in zip(command, command[1:], strict=False) if a == "-S"]
    )
    return [word.split(",")[0] for word in words if "=" in word]  # of a sweep, its first value


def test_the_template_s_readme_opens_with_two_commands():
    assert commands((TEMPLATE / "README.md").read_text())[:2] == [["make", "demo"], ["make", "test"]]


def test_the_templates_questions_are_in_its_readme():
    readme = (TEMPLATE / "README.md").read_text()
    for question, choices in CHOICES.items():
        row = next(line for line in readme.splitlines() if line.startswith("|") and f"`{question}`" in line)
        assert [choice for choice in choices if f"`{choice}`" not in row] == []


def test_make_has_the_targets(bake):
    for readme, makefile in (
        ((TEMPLATE / "README.md").read_text(), (TEMPLATE / "Makefile").read_text()),
        (bake().read("README.md"), bake().read("Makefile")),
    ):
        named = {words[1] for words in commands(readme) if words[0] == "make"} | set(re.findall(r"`make (\w+)", readme))
        targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
        assert named - {"setup", "run"} <= targets, f"{named - targets} in the README, but not in the Makefile"


def test_the_projects_readme_opens_with_setup_and_run(bake):
    assert commands(bake().read("README.md"))[:3] == [
        ["make", "setup"],
        ["source", ".venv/bin/activate"],
        ["dvc", "exp", "run"],
    ]


def test_choices_in_the_projects_readme_are_files(bake):
    project: BakedProject = bake()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", project.read("README.md"), re.MULTILINE)
    assert {group for group, _ in rows} == {"task", "data", "model", "augmentation", "training", "quant"}
    for group, choices in rows:
        files = {path.stem for path in (project.path / "conf" / group).glob("[a-z]*.yaml")}
        assert set(re.findall(r"`(\w+)`", choices)) == files


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "classification"])
def test_settings_in_the_projects_readme_compose(bake, environment, task):
    project = bake(environment, task=task)
    asked = [overrides(words) for words in commands(project.read("README.md")) if overrides(words)]
    assert len(asked) >= 5
    for words in asked:
        project.run("python", "-c", COMPOSE, *words)


@pytest.mark.slow
@pytest.mark.parametrize("task", [pytest.param("detection", marks=pytest.mark.nightly), "classification"])
def test_from_a_question_to_a_table(bake, environment, task):
    """The commands of the project's README, as they stand there."""
    project = bake(environment, project=f"{task}-question", task=task)
    section = project.read("README.md").split("## From a question to a table")[1].split("\n## ")[0]
    block = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    lines = block.splitlines()
    assert len(lines) == 6
    said = []
    for line in lines:
        if "NAME" in line:
            line = line.replace("NAME", project.run("dvc", "exp", "list", "--name-only").stdout.split()[0])
        said.append(project.run("bash", "-c", line).stdout)
    assert "Running stage" in said[5], said[5]
    assert "finished" in said[2] or "3 of 3" in said[2], said[2]


@pytest.mark.slow
def test_the_projects_lines_of_python_run_at_its_root(bake, environment):
    """Those that use the project's own package; those of MLflow want a server."""
    project = bake(environment, project="notebook")
    blocks = [
        block
        for page in ("README.md", "docs/tracking.md")
        for block in re.findall(r"^```python\n(.*?)^```", project.read(page), re.MULTILINE | re.DOTALL)
        if "from lab." in block
    ]
    assert len(blocks) == 2
    for block in blocks:
        project.run("python", "-c", block)
    assert "6 runs" in project.run("python", "src/lab.py", "plan", "rates").stdout
