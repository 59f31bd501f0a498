"""What comes out of the template, for every answer."""

import json
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from itertools import cycle, islice

import pytest
import yaml
from conftest import TEMPLATE, BakedProject
from jinja2 import Environment

PROJECT = "<<cookiecutter.project>>"
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
CHOICES = {
    question: values
    for question, values in QUESTIONS.items()
    if isinstance(values, list) and not question.startswith("_")
}
# The choices don't depend on one another: going round each list meets every value without multiplying them.
LONGEST = max(map(len, CHOICES.values()))
ROWS = zip(*(islice(cycle(values), LONGEST) for values in CHOICES.values()), strict=True)
COMBINATIONS = [dict(zip(CHOICES, row, strict=True)) for row in ROWS]
for row in COMBINATIONS:
    if row["task"] == "segmentation":  # which Ultralytics alone learns
        row["ultralytics"] = "yes"

# What makes it a project of this kind, whatever else the template holds.
ESSENTIAL = {
    *("Makefile", "README.md", "LICENSE", "pyproject.toml", "requirements.txt", "requirements-lab.txt", "dvc.yaml"),
    *(
        "params.yaml",
        "conf/config.yaml",
        "designs/schema.json",
        "docs/04-report/README.md",
        ".dvc/config",
        ".env.example",
    ),
    *("src/lab/__main__.py", "src/vision_lab/__init__.py", "src/lab.py", "src/train.py", "tests/conftest.py"),
}
CI = {
    "github": {".github/workflows/ci.yml", ".github/workflows/review.yml", ".github/dependabot.yml"},
    "gitlab": {".gitlab-ci.yml", ".gitlab/review.yml", "renovate.json"},
    "none": set(),
}
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

AWKWARD = 'Bücher & "Bilder" <b>\'s\\n </b> {{x}} {% y %} ${z} #1: 视觉 🦊'
FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


def shipped(answers: dict[str, str]) -> set[str]:
    """The files that git has below the template's project folder, under the names that they have in a project."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", PROJECT]
    names = subprocess.run(listed, cwd=TEMPLATE, check=True, capture_output=True, text=True).stdout.split("\0")
    jinja = Environment(**QUESTIONS["_jinja2_env_vars"])
    answers = {"project": "vision-lab", "package": "vision_lab", **answers}
    rendered = (jinja.from_string(name).render(cookiecutter=answers) for name in names if (TEMPLATE / name).is_file())
    files = {name.partition("/")[2] for name in rendered if not name.endswith("/")}
    if answers.get("ultralytics") == "no":  # its models are called by what they are, and segmentation is its alone
        gone = ("conf/model/yolo", "conf/task/segm", "conf/data/digits_outl", "designs/segm", "src/vision_lab/tasks/segm")
        return {name for name in files if "ultralytics" not in name and not name.startswith(gone)}
    return files


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda combination: "-".join(combination.values()))
def answers(request) -> dict[str, str]:
    return request.param


@pytest.fixture(scope="module")
def project(bake, answers) -> BakedProject:
    return bake(**answers)


def test_every_choice_is_met():
    assert {(question, row[question]) for row in COMBINATIONS for question in row} == {
        (question, value) for question, values in CHOICES.items() for value in values
    }


def test_files_are_exactly_these(project, answers):
    assert project.files() == shipped(answers)
    assert project.files() >= ESSENTIAL
    every = set().union(*CI.values())
    assert project.files() & every == CI[answers["ci"]]
    folders = (path for path in project.path.rglob("*") if path.is_dir())
    assert not [path for path in folders if ".git" not in path.parts and not any(path.iterdir())]


def test_no_placeholder_is_left(project):
    leftover = re.compile(r"<<|<%|%>|<#|#>|cookiecutter\.")
    assert not [name for name in project.texts() if leftover.search(name + project.read(name))]


def test_file_names_are_good_on_windows(project):
    names = project.files()
    assert not [name for name in names for part in name.split("/") if FORBIDDEN_ON_WINDOWS.search(part)]
    assert len({name.lower() for name in names}) == len(names)


def test_text_is_tidy(project):
    for name in project.texts():
        text = project.read(name)
        assert text == "" or text.endswith("\n"), f"{name} has no newline at its end"
        assert not re.search(r"[ \t]$|\n{4}|\n\n\Z", text, re.MULTILINE) or name == "LICENSE", (
            f"{name} has stray blanks"
        )


def test_settings_parse(project, answers):
    for name in project.files():
        if name.endswith((".yaml", ".yml")):
            assert yaml.safe_load(project.read(name)), name
        if name.endswith(".json"):
            assert json.loads(project.read(name)), name
    pyproject = tomllib.loads(project.read("pyproject.toml"))
    assert pyproject["project"]["name"] == "vision-lab"
    assert pyproject["tool"]["cruft"]["skip"] == [".git", ".dvc/tmp"]


def test_ci_reviews_with_lab_s_packages_alone(project, answers):
    for name in CI[answers["ci"]]:
        if name.endswith("ci.yml"):
            tests = project.read(name)
            assert all(f"make {target}\n" in tests for target in ("setup", "lint", "test"))
            assert "requirements.txt" in tests
            content = yaml.safe_load(tests)  # and a change is tested once, not as a push and as a request as well
            if answers["ci"] == "github":
                assert content[True]["push"] == {"branches": ["main", "master"]} and "pull_request" in content[True]
            else:
                request, branch = (rule["if"] for rule in content["workflow"]["rules"])
                assert "merge_request_event" in request and branch == "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
        if name.endswith("review.yml"):
            review = project.read(name)
            assert "make setup-lab\n" in review and "make setup\n" not in review


def test_the_review_runs_nothing_of_a_branch(project, answers):
    """Its job has the default branch's files, no secret, and no name from outside in a command."""
    for name in (name for name in CI[answers["ci"]] if name.endswith("review.yml")):
        content = yaml.safe_load(project.read(name))
        if answers["ci"] == "gitlab":
            assert {content[job]["variables"]["GIT_STRATEGY"] for job in ("review", "comment")} == {"none"}
            assert "REVIEW_TOKEN" not in str(content["review"]) and "git" not in str(content["comment"]["script"])
            assert "BRANCH_NAME" not in str(content["review"]["script"])
            root = yaml.safe_load(project.read(".gitlab-ci.yml"))
            assert [(entry["ref"], entry["file"]) for entry in root["include"]] == [("$CI_DEFAULT_BRANCH", f"/{name}")]
            continue
        check, comment = content["jobs"]["check"], content["jobs"]["comment"]
        assert set(content[True]) == {"pull_request_target"} and content["permissions"] == {}
        assert check["permissions"] == {"contents": "read"}
        assert "secrets." not in str(check) and "token" not in str(check)
        assert comment["permissions"] == {"pull-requests": "write"}
        assert not [step for step in comment["steps"] if "uses" in step], "it has neither repository nor branch"
        for step in (*check["steps"], *comment["steps"]):
            assert "${{" not in step.get("run", ""), "what comes from outside comes by the environment"
        assert check["steps"][0]["with"]["ref"] == "${{ github.event.repository.default_branch }}"


def test_ci_names_exact_versions(project, answers):
    for name in CI[answers["ci"]]:
        for line in project.read(name).splitlines():
            if "uses:" in line:
                assert PINNED.fullmatch(line.partition("uses: ")[2]), line
            if "image:" in line:
                assert re.fullmatch(r"\w+(/\w+)?:\d+\.\d+\.\d+", line.partition("image: ")[2]), line
            if "pip install" in line:
                assert re.search(r"pip install uv==\d+\.\d+\.\d+$", line), line


def test_dvc_remote(project, answers):
    config = ConfigParser(interpolation=None)
    config.read_string(project.read(".dvc/config"))
    assert config["hydra"]["enabled"] == "True"
    assert config["core"]["analytics"] == "false"
    prefix = "../.dvc" if answers["dvc_remote"] == "local" else f"{answers['dvc_remote']}://"
    assert config["'remote \"storage\"'"]["url"].startswith(prefix)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-lab.txt"])
def test_requirements_are_pinned_and_hold_what_was_chosen(project, answers, file):
    lines = project.read(file).splitlines()[1:]
    assert not [line for line in lines if not re.match(r"[a-z0-9-]+==\S+( ; .+)?$", line)]
    extras = {"s3": "dvc-s3", "gs": "dvc-gs", "azure": "dvc-azure", "ssh": "dvc-ssh", "mlflow+wandb": "wandb"}
    expected = {extras.get(answers["dvc_remote"]), extras.get(answers["tracking"])} - {None}
    assert {line.split("==")[0] for line in lines} & set(extras.values()) == expected
    groups = tomllib.loads(project.read("pyproject.toml"))["project"]["optional-dependencies"]
    named = groups["lab"] if file == "requirements-lab.txt" else groups["lab"] + groups["stages"] + groups["dev"]
    pins = [re.sub(r"\[\w+\]", "", pin) for pin in named]
    assert not [pin for pin in pins if not any(line.startswith(pin) for line in lines)]


def test_lab_s_requirements_are_a_part_of_all(project):
    assert set(project.read("requirements-lab.txt").splitlines()[1:]) < set(
        project.read("requirements.txt").splitlines()
    )


def test_ruff_finds_nothing(project):
    for command in (["check"], ["format", "--check"]):
        project.run(sys.executable, "-m", "ruff", *command, "--no-cache")


def test_outputs_are_ignored_by_git_where_dvc_keeps_them(project):
    for stage in yaml.safe_load(project.read("dvc.yaml"))["stages"].values():
        for output in (out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])):
            name, settings = next(iter(output.items())) if isinstance(output, dict) else (output, {})
            ignored = project.run("git", "check-ignore", "-q", name, check=False).returncode == 0
            assert ignored == settings.get("cache", True), f"{name} in dvc.yaml and .gitignore disagree"


def test_designs_open_with_their_command_and_ask_the_same_of_all_tasks(project):
    asked = {}
    for path in (project.path / "designs").glob("*.yaml"):
        command, schema, *_ = path.read_text().splitlines()
        assert command.startswith(f"# lab run designs/{path.name}")
        assert schema == "# yaml-language-server: $schema=schema.json"
        design = yaml.safe_load(path.read_text())
        task, _, question = path.stem.partition("_")
        assert design["task"] == task and "name" not in design
        asked.setdefault(task, set()).add(question)
    assert set(asked) == set(json.loads((TEMPLATE / "cookiecutter.json").read_text())["task"])
    assert all(questions == asked["detection"] and len(questions) == 12 for questions in asked.values()), asked


def test_git_has_one_commit_and_nothing_to_add(project):
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert project.run("git", "log", "--format=%an: %s").stdout == "Tester: Start from exp-template\n"
    assert set(project.run("git", "ls-files").stdout.splitlines()) == project.files()


def test_answers_with_quotes_unicode_and_brackets(bake):
    project = bake(description=AWKWARD, author=AWKWARD, license="MIT")
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == AWKWARD
    assert metadata["authors"] == [{"name": AWKWARD}]
    assert f"Copyright (c) {AWKWARD}\n" in project.read("LICENSE")
    assert AWKWARD.replace("<", "&lt;") in project.read("README.md")
    assert project.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    ("given", "written", "ignored"),
    [
        (".dvc/storage", "../.dvc/storage", True),
        ("storage/", "../storage/", True),
        ("../lake", "../../lake", False),
        ("/mnt/lake", "/mnt/lake", False),
        ("~/lake", "~/lake", False),
    ],
)
def test_local_remote_is_a_folder_that_git_leaves_alone(bake, given, written, ignored):
    project = bake(dvc_remote_url=given)
    assert f"url = {written}\n" in project.read(".dvc/config")
    inside = project.run("git", "check-ignore", "-q", f"{given.rstrip('/')}/files", check=False).returncode == 0
    assert inside == ignored


def test_package_name_follows_the_project(bake):
    project = bake(project="Parts-2.0")
    assert project.path.name == "Parts-2.0"
    assert (project.path / "src/parts_2_0/shared/stage.py").is_file()


def test_misspelt_option_is_an_error(bake):
    with pytest.raises(AssertionError, match="prject"):
        bake(prject="lab")


@pytest.mark.slow
def test_project_is_clean_for_its_own_linters(bake, environment):
    project = bake(environment)
    project.run("make", "lint")
    project.run("pre-commit", "run", "--all-files")


def test_template_is_clean_for_ruff():
    for command in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache"], cwd=TEMPLATE, check=True)
