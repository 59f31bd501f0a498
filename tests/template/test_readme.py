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
    lines = [
        re.split(r"\s+#\s", line)[0] for block in blocks(readme) for line in block.replace("\\\n", "").splitlines()
    ]
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


def blocks(page: str, language: str = "sh") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("task", ["detection", "classification"])
def test_from_a_question_to_an_answer(bake, environment, task):
    """The commands of the project's README, as they stand there, less the one that waits for a browser."""
    project = bake(environment, project=f"{task}-question", task=task)
    section = project.read("README.md").split("## From a question to an answer")[1].split("\n## ")[0]
    *lines, ui = blocks(section)[0].splitlines()
    assert len(lines) == 4 and "lab ui" in ui
    said = [project.run("bash", "-c", line).stdout for line in lines]
    assert "3 finished" in said[1] and "docs/04-report/" in said[2], said


@pytest.mark.slow
def test_the_tutorial(bake, environment):
    """Its design and its commands, as they stand there, end with a champion."""
    project = bake(environment, project="tutorial-lab")
    page = project.read("docs/tutorial.md")
    file = re.search(r"`(designs/\w+\.yaml)`\n```yaml", page)
    (project.path / file[1]).write_text(blocks(page, "yaml")[0])
    said = {line: project.run("bash", "-c", line).stdout for block in blocks(page) for line in block.splitlines()}
    run, report, promote = (
        next(said[line] for line in said if f"lab {word} " in line) for word in ("run", "report", "promote")
    )
    assert "6 finished" in run and "SUPPORTED: With 0.008 instead of 0.002" in run
    assert "docs/04-report/" in report
    assert "champion" in promote and (project.path / "models/champion/champion.yaml").is_file()
    branches = project.run("git", "branch", "--format=%(refname:short)").stdout.split()
    assert "exp/learning_rate" in branches


@pytest.mark.slow
def test_the_docs_become_a_site_without_a_network(bake, environment):
    """Strict: a link that leads nowhere, and a page that no menu has, fails."""
    if not (environment / "bin/mkdocs").exists():
        pytest.skip("an environment from before: make setup brings mkdocs")
    project = bake(environment, project="site-lab")
    project.run("make", "docs")
    pages = {page.stem for page in (project.path / "site").glob("*.html")}
    assert pages >= {"index", "SECURITY", *(page.stem for page in (project.path / "docs").glob("*.md"))}
    fetched = re.findall(r'(?:src|rel="stylesheet" href)="https?:[^"]*', (project.path / "site/index.html").read_text())
    assert fetched == []


@pytest.mark.slow
def test_the_projects_lines_of_python_run_at_its_root(bake, environment):
    """Those that use the project's own package; those of MLflow want a server."""
    project = bake(environment, project="notebook")
    pages = ("docs/questions.md", "docs/tracking.md")
    programs = [block for page in pages for block in blocks(project.read(page), "python") if "from lab." in block]
    assert len(programs) == 2
    for block in programs:
        project.run("python", "-c", block)
    assert "6 runs" in project.run("python", "src/lab.py", "plan", "rates").stdout
