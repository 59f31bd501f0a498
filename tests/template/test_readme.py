"""What the two READMEs tell people to type is real."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, BakedProject
from test_bake import CHOICES

TOOLS = Path(sys.executable).parent
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
@pytest.mark.parametrize(
    ("task", "epochs"),
    [
        ("classification", 1),
        pytest.param("classification", None, marks=pytest.mark.nightly),
        pytest.param("detection", None, marks=pytest.mark.nightly),
    ],
)
def test_from_a_question_to_an_answer(bake, environment, task, epochs):
    """The commands of the project's README, as they stand there, less those that wait for a person; by day in short."""
    project = bake(environment, project=f"{task}-question", task=task)
    if epochs:
        design = project.path / "designs" / f"{task}_baseline.yaml"
        design.write_text(f"{design.read_text()}base: [training.max_epochs={epochs}]\n")
        project.run("git", "commit", "--all", "--quiet", "--message", "a short training")
    section = project.read("README.md").split("## From a question to an answer")[1].split("\n## ")[0]
    lines = [line for line in blocks(section)[0].splitlines() if not re.match("lab (ui|new) ", line)]
    assert len(lines) == 4
    said = [project.run("bash", "-c", line).stdout for line in lines]
    assert "3 finished" in said[1] and "docs/04-report/" in said[2], said


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, pytest.param(None, marks=pytest.mark.nightly)], ids=["first step", "to the end"])
def test_the_tutorial(bake, environment, steps):
    """Its design and its commands, as they stand there: by day up to the plan, by night up to a champion."""
    project = bake(environment, project="tutorial-lab")
    page = project.read("docs/tutorial.md")
    file = re.search(r"`(designs/\w+\.yaml)`\n```yaml", page)
    (project.path / file[1]).write_text(blocks(page, "yaml")[0])
    lines = [line for block in blocks(page)[:steps] for line in block.splitlines()]
    said = {line: project.run("bash", "-c", line).stdout for line in lines}
    told = {word: text for line, text in said.items() for word in re.findall(r"^lab (\w+)", line)}
    assert "6 runs" in told["plan"]
    if steps is None:
        assert "6 finished" in told["run"] and "SUPPORTED: With 0.008 instead of 0.002" in told["run"]
        assert "docs/04-report/" in told["report"]
        assert "champion" in told["promote"] and (project.path / "models/champion/champion.yaml").is_file()
        assert "exp/learning_rate" in project.run("git", "branch", "--format=%(refname:short)").stdout.split()


@pytest.mark.skipif(not (TOOLS / "mkdocs").exists(), reason="an environment from before: tests/requirements.txt")
def test_the_template_s_own_pages_become_a_site(tmp_path):
    command = [TOOLS / "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    subprocess.run(command, cwd=TEMPLATE, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    assert {"index.html", "sample-report.html"} <= {path.name for path in (tmp_path / "site").iterdir()}


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
