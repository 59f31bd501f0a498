"""`--json` of every command, its exit codes, and what the shell completes: what agents and scripts hold on to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import contracts
import in_process
import pytest
import trivial
import typer
from trivial import Trivial

from lab.cli import app, output
from lab.errors import UserError

sys.path.append(str(contracts.TEMPLATE / "scripts"))
json_docs = import_module("json_docs")

LARGE, SMALL = "large", "designs/small.yaml"
SAID: list[tuple[list[str], int, type[output.Output]]] = [
    (["check", LARGE], 2, output.Checked),
    (["plan", LARGE], 0, output.Planned),
    (["status"], 0, output.Overview),
    (["status", SMALL], 0, output.Stand),
    (["results", LARGE, "--sort", "f1_macro"], 0, output.Results),
    (["report", SMALL], 0, output.Reported),
    (["review", LARGE], 0, output.Reviewed),
    (["run", LARGE], 0, output.Stand),
    (["queue", LARGE], 0, output.Queued),
    (["mirror", LARGE], 0, output.Mirrored),
    (["stop"], 0, output.Stopped),
    (["schema"], 0, output.Written),
    (["review", "--check", "--commit", "HEAD"], 0, output.Rechecked),
    (["promote", "large", "--force", "why not"], 0, output.Promoted),
    (["plan", "larg"], 2, output.Refused),
    (["results", "nothing"], 2, output.Refused),
    (["promote"], 2, output.Refused),
    (["logs", "nobody"], 2, output.Refused),
    (["new", "sweep"], 2, output.Refused),
    (["gc", "--keep", "nobody"], 2, output.Refused),
    (["promote", "--rollback"], 2, output.Refused),
    (["gc", "--yes"], 0, output.Freed),
    (
        ["new", "sweep", "--name", "last", "--vary", "lr=0.1,0.2", "--claim", "c", "--expected", "0.9"],
        0,
        output.Written,
    ),
]


@pytest.fixture(scope="module")
def project(answers: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    return trivial.copied(answers, tmp_path_factory.mktemp("output") / "copy")


def said(project: Trivial, *arguments: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """What a command says to programs; that is all of its stdout."""
    done = in_process.lab(project.root, *arguments, "--json")
    return json.loads(done.stdout, parse_constant=pytest.fail), done


@pytest.mark.parametrize(
    ("arguments", "code", "model"), SAID, ids=lambda it: "-".join(it) if isinstance(it, list) else ""
)
def test_a_command_says_to_programs_what_its_model_says(
    arguments: list[str], code: int, model: type[output.Output], project: Trivial
) -> None:
    found, done = said(project, *arguments)
    (project.root / "designs" / "last.yaml").unlink(missing_ok=True)  # which the others don't expect
    assert model.model_validate(found), done.stderr
    assert (found["version"], found["command"]) == (output.VERSION, arguments[0])
    assert found["exit_code"] == done.returncode == code
    assert done.stderr, "what is for people is told them all the same" if arguments[0] != "plan" else ""


def test_the_answer_is_the_same_for_people_and_for_programs(project: Trivial) -> None:
    found, done = said(project, "results", LARGE)
    answer = found["answer"]
    assert answer["outcome"] in done.stderr
    assert answer["sentence"].split(",")[0] in " ".join(done.stderr.split())
    assert found["runs"][0]["infer.f1_macro"] == pytest.approx(0.5)
    standing = said(project, "status", LARGE)[0]
    assert standing["answer"] == answer
    assert {run["status"] for run in standing["runs"]} == {"finished"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "DESIGN is missing: lab plan [OPTIONS] DESIGN"),
        (["chek", LARGE], "there is no command chek. Did you mean 'check'?: lab [OPTIONS] COMMAND"),
        (
            ["new", "sweep", "--sead", "3"],
            "there is no option --sead. Did you mean '--seeds'?: lab new [OPTIONS] [KIND]",
        ),
        (["new", "--seeds", "x"], "--seeds: 'x': expected a whole number"),
        (["new", "--seeds", "0"], "--seeds: '0': expected 1 or more"),
        (["new", "--seeds", "1000000"], "--seeds: '1000000': expected 1000 at most"),
        (["review", LARGE, "--tolerance", "much"], "--tolerance: 'much': expected a number"),
        (["run", LARGE, "--workers", "nobody"], "--workers: 'nobody' is not one of 'lab', 'dvc': lab run"),
        (["run", LARGE, "-j"], "--jobs: '--json': expected a whole number"),
        (["gc", "--yes=3"], "--yes takes no value"),
        (["plan", LARGE, SMALL], "designs/small.yaml is more than it takes"),
        *(([name, "--nonsense"], "there is no option --nonsense") for name in typer.main.get_group(app.app).commands),
    ],
)
def test_a_command_line_that_can_not_be_read_is_one_object_as_well(
    arguments: list[str], words: str, project: Trivial
) -> None:
    found, done = said(project, *arguments)
    assert output.Refused.model_validate(found).exit_code == done.returncode == 2
    assert words in found["error"].replace("python -m lab", "lab") and found["error"] in done.stderr
    assert done.stderr.count("\n") == 1 and found["command"] == arguments[0]


def test_nobody_who_answers_is_told_to_programs_too(project: Trivial) -> None:
    with mock.patch("lab.cli.plan.planner_of", side_effect=typer.Abort):
        found, done = said(project, "plan", LARGE)
    assert (found["exit_code"], done.returncode) == (1, 1) and "nobody answered" in found["error"]


def test_what_a_run_has_printed_and_where_the_pages_are(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = said(project, "status", "small")[0]["runs"]
    failed = [run["experiment"] for run in runs if run["status"] == "failed"]
    found, _ = said(project, "logs", failed[0])
    assert output.Logged.model_validate(found).text
    for name in ("small", SMALL):
        first, *lines = said(project, "logs", name)[0]["error"].replace("python -m lab", "lab").splitlines()
        assert first == f"small is a design, and each of its runs has a log: lab logs {failed[-1]}"
        assert (
            lines[0] == f"failed: {', '.join(reversed(failed))}"
            and lines[1].startswith("finished: ")
            and "small_0.5_s0" in lines[1]
        )

    def served(root: Path, port: int, tell: Callable[[str], None], show: object) -> bool:
        tell(f"http://127.0.0.1:{port}")
        return True

    monkeypatch.setattr("lab.tracking.mlflow.ui.serve", served)
    live, pages = output.Mirrored.model_validate(said(project, "ui", "--port", "5250")[0]).places
    assert pages == "http://127.0.0.1:5250" and live.startswith("http://127.0.0.1:5251")


def test_outside_of_a_project_there_is_none(project: Trivial, tmp_path: Path) -> None:
    with in_process.about(project.root, {}), chdir(tmp_path), pytest.raises(UserError, match="is in no project"):
        app.check_place(tmp_path)
    with in_process.about(project.root, {}):
        app.check_place(project.root / "designs")


def test_every_command_has_it(project: Trivial) -> None:
    commands = typer.main.get_group(app.app).commands
    without = [
        name for name, command in commands.items() if "--json" not in {o for p in command.params for o in p.opts}
    ]
    assert not without
    documented = " ".join(str(model.__doc__) for model in output.Output.__subclasses__())
    assert not [name for name in commands if f"`lab {name}" not in documented]


def test_the_page_on_it_is_made_from_the_models() -> None:
    page = contracts.PROJECT / "docs" / "json.md"
    assert page.read_text(encoding="utf-8") == json_docs.text(), "scripts/json_docs.py writes it anew"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lab plan la", {"large"}),
        ("lab plan designs/sm", {"designs/small.yaml"}),
        ("lab report ", {"large", "small"}),
        ("lab new --from sm", {"small"}),
        ("lab review large --arm 0.", {"0.5", "0.8"}),
        ("lab resul", {"results"}),
        ("lab results large --so", {"--sort"}),
    ],
)
def test_the_shell_completes_commands_options_designs_and_arms(line: str, offered: set[str], project: Trivial) -> None:
    words = {"_LAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    with mock.patch.object(app, "HAS_COMMAND", True):
        done = in_process.lab(project.root, **words)
    assert set(done.stdout.split()) == offered, done.stderr


def test_the_shell_completes_experiments(project: Trivial) -> None:
    name = said(project, "status", LARGE)[0]["runs"][0]["experiment"]
    words = {"_LAB_COMPLETE": "complete_bash", "COMP_WORDS": f"lab logs {name[:-3]}", "COMP_CWORD": "2"}
    with mock.patch.object(app, "HAS_COMMAND", True):
        assert name in in_process.lab(project.root, **words).stdout.split()


def test_what_agents_are_told_to_type_can_be_typed() -> None:
    text = (contracts.PROJECT / "AGENTS.md").read_text(encoding="utf-8")
    commands = typer.main.get_group(app.app).commands
    typed = [line.partition("#")[0].split() for line in text.splitlines() if line.startswith("lab ")]
    assert {"new", "check", "run", "results", "review", "promote"} <= {words[1] for words in typed}
    for _, name, *words in typed:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, name
