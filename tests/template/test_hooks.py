"""Which answers are refused, and what the new project's git is like, as a person at the command line sees it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE

Generate = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def generate(tmp_path: Path, own_settings) -> Generate:
    def generate(output: Path = tmp_path, **options: str) -> subprocess.CompletedProcess[str]:
        answers = [f"{question}={answer}" for question, answer in options.items()]
        command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", str(output), *answers]
        return subprocess.run(command, capture_output=True, text=True)

    return generate


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"project": "my lab"}, "project 'my lab' must be made of letters"),
        ({"project": "-lab"}, "project '-lab' must be made of letters"),
        ({"project": "lab."}, "project 'lab.' must be made of letters"),
        ({"project": "labör"}, "project 'labör' must be made of letters"),
        ({"project": "../lab"}, "project '../lab' must be made of letters"),
        ({"project": "la/b"}, "project 'la/b' must be made of letters"),
        ({"project": "lab'"}, 'project "lab\'" must be made of letters'),
        ({"project": ""}, "already exists"),  # cookiecutter's own words: the folder would be the one it writes into
        ({"project": "2lab"}, "package '2lab' must be made of lower-case letters"),
        ({"project": "torch"}, "package 'torch' would hide the module"),
        ({"project": "mlflow"}, "package 'mlflow' would hide the module"),
        ({"project": "Test"}, "package 'test' would hide the module"),
        ({"package": ""}, "package '' must be made of lower-case letters"),
        ({"package": "my-lab"}, "package 'my-lab' must be made of lower-case letters"),
        ({"package": "Lab"}, "package 'Lab' must be made of lower-case letters"),
        ({"package": "class"}, "package 'class' is a word of the Python language"),
        ({"package": "json"}, "package 'json' would hide the module"),
        ({"package": "src"}, "package 'src' would hide the module"),
        ({"package": "vision"}, "package 'vision' would hide the module"),
        ({"package": "train"}, "package 'train' would hide the module"),
        ({"package": "lab"}, "package 'lab' would hide the module"),
        ({"project": "lab"}, "package 'lab' would hide the module"),
        ({"package": "simpleeval"}, "package 'simpleeval' would hide the module"),
        *(
            ({"package": name}, f"package '{name}' would hide the module")
            for name in ("filelock", "attr", "typing_extensions", "dvc_s3", "ray")
        ),
        ({"author": ""}, "author is empty"),
        ({"author": "  "}, "author is empty"),
        *(
            ({"dvc_remote_url": folder}, f"dvc_remote_url '{folder}' is in ")
            for folder in ("src", "conf/", "docs/x", "./designs", ".", "..", "a/../src", ".dvc", ".dvc/cache", ".git/x")
        ),
        ({"dvc_remote_url": ""}, "dvc_remote_url is empty"),
        ({"dvc_remote_url": "s3://bucket"}, "'s3://bucket' is no folder"),
        ({"dvc_remote_url": 'a "b"'}, "must hold no quotes"),
        ({"dvc_remote": "s3", "dvc_remote_url": ""}, "dvc_remote=s3 needs an address"),
        ({"dvc_remote": "s3", "dvc_remote_url": "gs://bucket"}, "must look like s3://…"),
        ({"dvc_remote": "ssh", "dvc_remote_url": "ssh://"}, "must look like ssh://…"),
        ({"description": "two\nlines"}, "description 'two\\nlines' must be one line"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_bad_answers_are_refused_before_anything_is_written(generate, tmp_path, options, sentence):
    (tmp_path / "out").mkdir()
    done = generate(tmp_path / "out", **options)
    assert done.returncode != 0
    said = (done.stderr + done.stdout).split("\n\n")
    assert sentence in said[0] and len(said[0].splitlines()) == 1
    assert said[1:] in ([], ["Aborted!\n"]), "cookiecutter's traceback would stand below the sentence"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_folders_for_dvcs_remote(generate, tmp_path):
    for number, folder in enumerate([".dvc/storage", "storage", "../storage", str(tmp_path / "storage"), "~/storage"]):
        done = generate(project=f"lab-{number}", dvc_remote_url=folder)
        assert done.returncode == 0, done.stderr


def test_the_hook_knows_what_lies_in_a_project(bake):
    """So that neither a package nor DVC's remote takes the place of it."""
    text = (TEMPLATE / "hooks/pre_gen_project.py").read_text()
    own = set(re.search(r'OWN = """(.*?)"""', text, re.DOTALL)[1].split())
    scripts = set(re.search('SCRIPTS = "(.*?)"', text)[1].split())
    project = bake(ci="gitlab").path
    assert {path.name for path in project.iterdir()} - {".dvc"} <= own
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"].values()
    outs = [out for stage in stages for out in stage["outs"]]
    assert {(out if isinstance(out, str) else next(iter(out))).split("/")[0] for out in outs} <= own
    assert {path.stem for path in (project / "src").iterdir()} - {"vision_lab"} <= scripts


def test_the_hook_knows_every_module_of_the_pinned_packages(environment):
    """Otherwise: make modules."""
    sys.path.insert(0, str(TEMPLATE / "scripts"))
    import modules

    assert modules.installed(environment / "bin/python") <= modules.listed()
    assert len(modules.listed()) > 200


def test_the_next_commands_are_said(generate, tmp_path):
    done = generate()
    assert done.stderr == ""
    assert "vision-lab is a git repository with a first commit. Next:" in done.stdout
    assert done.stdout.split("Next:")[1].split() == [
        *("cd", str(tmp_path / "vision-lab")),
        *["make", "setup", "&&", "source", ".venv/bin/activate", "dvc", "exp", "run"],
    ]


def test_a_repository_around_it_is_left_alone(generate, tmp_path):
    git(tmp_path, "init", "-q")
    done = generate()
    assert "part of the git repository around it" in done.stdout
    assert not (tmp_path / "vision-lab/.git").exists()
    assert git(tmp_path, "status", "--porcelain") == "?? vision-lab/\n"
    assert "GitHub reads .github/ at the top of a repository alone" in done.stdout
    assert "at the top" not in generate(project="no-ci", ci="none").stdout


def test_a_repository_that_ignores_it_does_not_count(generate, tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("/vision-lab/\n")
    generate()
    assert git(tmp_path / "vision-lab", "rev-list", "--count", "HEAD") == "1\n"


def test_git_hooks_of_another_repository_are_safe(generate, tmp_path, monkeypatch):
    other, output = tmp_path / "other", tmp_path / "output"
    other.mkdir()
    output.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    generate(output)
    monkeypatch.undo()
    assert not (other / ".git/index").exists()
    assert (output / "vision-lab/.git").is_dir()


def test_what_a_personal_list_keeps_out_of_the_first_commit_is_said(generate, tmp_path, monkeypatch):
    (tmp_path / "ignored").write_text("LICENSE\n*.json\n")
    (tmp_path / "gitconfig").write_text(f"[core]\nexcludesFile = {tmp_path / 'ignored'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    said = next(line for line in generate().stdout.splitlines() if "kept files out of the first commit" in line)
    assert said.startswith(str(tmp_path / "ignored")) and "LICENSE" in said and "conf/schema.json" in said


def test_every_question_and_choice_has_its_help():
    asked = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    for question, choices in ((name, value) for name, value in asked.items() if not name.startswith("_")):
        if isinstance(choices, list) and question != "python_version":
            assert asked["__prompts__"][question].keys() == {"__prompt__", *choices}
        else:
            assert "[" not in asked["__prompts__"][question], "rich would take it for markup"


def test_a_user_without_a_name_in_git(generate, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    generate()
    assert git(tmp_path / "vision-lab", "log", "--format=%an <%ae>") == "vision-lab <nobody@localhost>\n"
    assert "[user]" not in (tmp_path / "vision-lab/.git/config").read_text()


def test_settings_of_git_that_would_stop_a_commit(generate, tmp_path, monkeypatch):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[user]\nname = A\nemail = a@b\n[commit]\ngpgsign = true\n[core]\nhooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    generate()
    assert git(tmp_path / "vision-lab", "rev-list", "--count", "HEAD") == "1\n"


def test_a_machine_without_git(generate, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    done = generate()
    assert done.returncode == 0
    assert "no git repository: install git" in done.stdout
    assert (tmp_path / "vision-lab/dvc.yaml").is_file()
