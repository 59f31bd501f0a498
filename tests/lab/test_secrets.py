"""Secrets of the environment and of .env: none goes out, and what is none stays readable."""

from __future__ import annotations

import json
import string
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import secrets
from lab.design import overrides
from lab.errors import UserError
from lab.records.git_record import GitRecord
from lab.records.project import Project
from lab.study import FAILED

NAMES = ["DB_PWD", "OPENAI_KEY", "GH_PAT", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "SLACK_WEBHOOK"]
NAMES += ["SMTP_PASS", "CI_JOB_TOKEN", "SENTRY_DSN", "BASIC_AUTH", "AZURE_STORAGE_SAS", "MYSQL_PWD", "DB_PASS1"]
VALUES = [  # under whatever name
    "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnop",
    "https://chat.example.org/hooks/4kd9shw7x",
    "https://me:pass@host.example.org/x",
    "https://host.example.org/x?sig=ab12cd34",
    "ghp_" + "a1B2" * 9,
    "sk-proj-" + "a1B2" * 9,
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "q7Zk2Vx9Lm4Tn8Rb3Wd6Yc1H",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END PRIVATE KEY-----",
]
PLAIN = {  # what is in every environment, and in every second text
    "PWD": str(Path.cwd()),
    "HOME": str(Path.home()),
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "SHLVL": "1",
    "USER": "somebody",
    "TERM": "xterm-256color",
    "SSH_AUTH_SOCK": "/tmp",
    "TOKENIZERS_PARALLELISM": "false",
    "MONKEY_PATCHES": "gevent-and-others",
    "GIT_COMMIT": "8ee462e0c8a5fe3e6329d575a6aae8b6245477d29",
    "MODEL": "EfficientNetB0LargeModelV2",
    "HOSTNAME": "runner-7f5d8c9b-xkz2p",
    "NUM_KEYS": "128",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3",
}
HARD = st.text(string.ascii_letters + string.digits + "!#$%&*+-.:;<=>?@^_|~", min_size=8, max_size=40)


def shown(environment: dict[str, str]) -> str:
    """As a stage that fails may print it."""
    return f"{environment!r}\n{json.dumps(environment)}\n" + "\n".join(map("=".join, environment.items()))


@given(st.dictionaries(st.sampled_from(NAMES), HARD.filter(lambda value: not value.strip(".,-+:_").isdigit())))
def test_what_is_called_a_secret_is_blanked(environment: dict[str, str]) -> None:
    found = secrets.values({}, environment)
    for value in environment.values():
        assert value in found
        assert value not in secrets.hide(f"before {value} after", found)


@pytest.mark.parametrize("value", VALUES)
def test_what_looks_like_a_secret_is_blanked(value: str) -> None:
    text = secrets.hide(shown({"HARMLESS": value}), secrets.values({}, {"HARMLESS": value}))
    assert not [line for line in value.splitlines() if len(line) >= 8 and line in text], text


@given(HARD.filter(lambda value: not secrets._is_trivial(value)))
def test_every_value_of_the_env_file_is_blanked(value: str) -> None:
    assert secrets.HIDDEN in secrets.hide(f"it is {value}", secrets.values({"ANY": value, "NONE": None}, {}))


def test_what_is_no_secret_stays() -> None:
    """Also from .env: words, numbers and paths stand in every second text."""
    assert secrets.values({}, PLAIN) == ()
    trivial = {"A": "vision-lab", "B": "3.1415926535", "C": "/srv/data", "D": "on", "E": "localhost"}
    assert secrets.values(trivial, {}) == ()
    assert secrets.hide(shown(PLAIN)) == shown(PLAIN)


def test_what_another_machine_printed_is_blanked_by_its_name() -> None:
    printed = dict.fromkeys(NAMES, "correct-horse-battery")
    text = secrets.hide(shown(printed))
    assert "horse" not in text
    assert all(name in text for name in NAMES)
    tables = "| KEY | TOKENS: 128 |\nkey: infer.f1_macro\nsort_key = accuracy\n"
    assert secrets.hide(tables) == tables


def test_a_file_keeps_its_other_bytes(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PWD=correct-horse\n")
    known = secrets.known(tmp_path)
    assert "correct-horse" in known
    assert secrets.hide_bytes(b"\xff\x00correct-horse\xfe", known) == b"\xff\x00***\xfe"


def test_the_log_of_a_failed_run_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that printed its environment: whatever is made of the record, it is not in there."""
    environment = {name: f"Pl4nted-{name}" for name in NAMES}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text("INTERNAL_HOST=db.prod.example.org\n")
    log = tmp_path / "log"
    end = "ERROR: failed to reproduce 'train': failed to run: python train.py, exited with 1\n"
    log.write_text(f"db.prod.example.org {shown(environment)}\nlr=1 {environment['GH_PAT']}\n{end}")
    pending = SimpleNamespace(log=log, delivered=False, returncode=1)
    record = GitRecord(Project(tmp_path), "run", "c" * 40, "b" * 40, FAILED, pending)  # type: ignore[arg-type]
    assert record.reason == "train ended with 1: lr=1 ***"
    assert "GH_PAT=***" in record.log and "Pl4nted" not in record.log and "example.org" not in record.log


READS = ["x=${oc.env:PATH}", "+leak='${oc.env:PATH}'", "x='\\${oc.env:PATH}'", "x=${ oc.env : PATH }", "x=${now:%Y}"]
READS += ["x=${hydra:runtime.cwd}", "x=[1,'${oc.env:A}']", "x=${oc.${y}:PATH}", "x=${oc.select:${oc.env:A},1}"]
READS += ["x=${oc.decode:'\\${oc.env:A}'}", "x={a:'${oc.env:A,none}'}", "x='${python_version:}'"]


@pytest.mark.parametrize("text", READS)
@pytest.mark.parametrize("parse", [overrides.parse, overrides.parse_plain])
def test_no_override_reads_the_machine(text: str, parse: object) -> None:
    assert callable(parse)
    with pytest.raises(UserError, match="reads more than the config"):
        parse(text)


@pytest.mark.parametrize("text", ["x=${lr}", "x='${oc.select:lr,1}'", "x='${model.${name}}'", "x='${a'", "x={a:1}"])
def test_the_config_itself_may_be_read(text: str) -> None:
    overrides.parse(text)
