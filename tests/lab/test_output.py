"""`--json` of every command, its exit codes, and what the shell completes: what agents and scripts hold on to."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any
from unittest import mock

import contracts
import in_process
import pytest
import trivial
import typer
from trivial import Trivial

from lab.cli import app, output

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
    (["gc"], 0, output.Freed),
    (["mirror", "--prune"], 0, output.Mirrored),
    (["plan", "larg"], 2, output.Refused),
    (["results", "nothing"], 2, output.Refused),
    (["promote"], 2, output.Refused),
    (["logs", "nobody"], 2, output.Refused),
    (["new", "sweep"], 2, output.Refused),
    (["gc", "--keep", "nobody"], 2, output.Refused),
    (["promote", "--rollback"], 2, output.Refused),
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
