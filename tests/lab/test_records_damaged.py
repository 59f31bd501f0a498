"""No record stops a command: whatever experiment refs hold, it is a row that says so; finished means measured."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import answered
import pygit2
import pytest
import trivial
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import lab
from pygit2.enums import FileMode
from trivial import Trivial

from lab.analysis.verdict import judge
from lab.cli import view
from lab.cli.output import Results
from lab.design.plan import Run
from lab.execution.queueing import named
from lab.execution.standings import standings
from lab.records import studies
from lab.report import frame, pages, report
from lab.retention import needs
from lab.study import FINISHED, UNMEASURED, UNREADABLE
from lab.tracking.mirror import Mirror

PARAMS, LOCK, METRICS, NOTE = "params.yaml", "dvc.lock", "metrics/infer.json", "effective/infer.yaml"
FILES = (PARAMS, LOCK, METRICS, NOTE, "dvc.yaml", "dvclive/plots/metrics/val/loss.tsv")
MEGABYTE = 2**20
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
Files = dict[str, bytes | None]


@dataclass
class Damaged:
    """A project in which `small` has run, and the ref of the first of its four experiments."""

    project: Trivial
    ref: str
    sound: str
    runs: list[Run]

    @property
    def git(self) -> pygit2.Repository:
        return pygit2.Repository(str(self.project.root))

    @property
    def name(self) -> str:
        return self.ref.rpartition("/")[2]

    def text(self, path: str) -> bytes:
        """A file of the sound experiment."""
        return (self.git[self.sound].peel(pygit2.Tree) / path).data  # type: ignore[union-attr]

    def point_to(self, target: str) -> None:
        """Have the experiment's ref name this object, whatever it is, also where there is none."""
        path = Path(self.git.path) / self.ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{target}\n")

    def write(self, files: Files, is_locked: bool = True) -> None:
        """Give the experiment a commit with these files, whose hashes dvc.lock has where it is not among them."""
        git = self.git
        if is_locked and LOCK not in files:
            lock = yaml.safe_load(self.text(LOCK))
            for out in (out for stage in lock["stages"].values() for out in stage["outs"]):
                if content := files.get(out["path"]):
                    out["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
            files = {**files, LOCK: yaml.safe_dump(lock).encode()}
        index, sound = pygit2.Index(), git[self.sound].peel(pygit2.Commit)
        index.read_tree(sound.tree)
        for path, content in files.items():
            if content is None:
                index.remove(path)
            else:
                index.add(pygit2.IndexEntry(path, git.create_blob(content), FileMode.BLOB))
        who = git.default_signature
        self.point_to(str(git.create_commit(None, who, who, "damaged", index.write_tree(git), sound.parent_ids)))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    project = trivial.make(tmp_path_factory.mktemp("damaged") / "project")
    answered.design(project, "small", 0.5, 0.1)
    trivial.carry_out(project, "small", answered.measured)
    first = project.project().git.experiments()[0]
    assert first.name.endswith("0.1_s0")
    runs = studies.planner(project.project(), project.root / "designs" / "small.yaml").plan().runs
    return Damaged(project, first.ref, first.commit, runs)


def rows(damaged: Damaged) -> Iterator[tuple[str, str]]:
    """How the damaged run stands and why: in a plan, and in the design's study."""
    project = damaged.project.project()
    for replicates in (standings(project, damaged.runs), studies.read(project, "small").replicates):
        assert [each.status for each in replicates[1:]] == [FINISHED] * 3
        yield replicates[0].status, replicates[0].trouble
    project.save()


def changed(text: bytes, change: Callable[[Any], Any]) -> bytes:
    """A YAML file with a change."""
    content = yaml.safe_load(text)
    change(content)
    return yaml.safe_dump(content).encode()


def membership(damaged: Damaged, **block: Any) -> Files:
    return {PARAMS: changed(damaged.text(PARAMS), lambda params: params["experiment"].update(block))}


def locked(damaged: Damaged, **entry: Any) -> Files:
    return {LOCK: changed(damaged.text(LOCK), lambda lock: lock["stages"]["train"].update(entry))}


ODD: dict[str, tuple[Callable[[Damaged], Files], str]] = {
    "no YAML": (lambda d: {PARAMS: b"a: [1"}, "params.yaml, line 2: not YAML"),
    "no UTF-8": (lambda d: {PARAMS: b"\xff\xfe: 1"}, "no text in UTF-8: byte 1"),
    "a list": (lambda d: {PARAMS: b"- 1\n"}, "params.yaml is a list: expected a mapping"),
    "nothing": (lambda d: {PARAMS: None}, "params.yaml is empty or absent"),
    "an alias bomb": (lambda d: {PARAMS: BOMB.encode()}, "its aliases stand for more than"),
    "a thousand levels": (lambda d: {PARAMS: b"[" * 100_000}, "more than 200 levels"),
    "40 megabytes": (lambda d: {PARAMS: b"a: " + b"x" * 40 * MEGABYTE}, "params.yaml of .* has 40 MB"),
    "a set": (lambda d: {PARAMS: d.text(PARAMS) + b"\nodd: !!set {x, y}\n"}, "odd is a set"),
    "a long number": (lambda d: {PARAMS: d.text(PARAMS) + b"\nodd: " + b"9" * 5000}, "5000 digits"),
    "a text for the block": (
        lambda d: {PARAMS: changed(d.text(PARAMS), lambda params: params.update(experiment="x"))},
        "experiment is a text",
    ),
    "a list for an arm": (lambda d: membership(d, arm=["x"]), r"experiment: arm: \['x'\]: expected a text"),
    "a number for a design": (lambda d: membership(d, design=5), "experiment: design: 5: expected a text"),
    "a lock with marks of a merge": (lambda d: {LOCK: b"<<<<<<< a\n{"}, "dvc.lock"),
    "no lock": (lambda d: {LOCK: None}, "by its dvc.lock no stage has run"),
    "a lock that is a list": (lambda d: {LOCK: b"- 1\n"}, "dvc.lock is a list"),
    "a number of outs": (lambda d: locked(d, outs=5), "stages.train.outs: 5: expected a list"),
    "a hash that leads out": (lambda d: locked(d, outs=[{"path": "x", "md5": "../../x"}]), "outs.0.md5"),
    "bytes for a lock": (lambda d: {LOCK: bytes(range(256))}, "dvc.lock of .* is no text"),
    "no dvc.yaml": (lambda d: {"dvc.yaml": None}, "commit .* has no dvc.yaml"),
    "another dvc.yaml": (lambda d: {"dvc.yaml": b"stages: {a: {cmd: x, outs: 5}}"}, "dvc.yaml"),
    "a text for a note": (lambda d: {NOTE: b"x"}, "effective/infer.yaml: 'x': expected a mapping"),
    "no start": (lambda d: {NOTE: d.text(NOTE).replace(b"started:", b"begun:")}, "started: is missing"),
    "seconds in words": (lambda d: {NOTE: d.text(NOTE).replace(b"seconds: 0.0", b"seconds: many")}, "seconds: 'many'"),
}


@pytest.mark.parametrize("what", ODD)
def test_a_record_that_can_t_be_read_is_a_row_with_the_reason(damaged: Damaged, what: str) -> None:
    files, reason = ODD[what]
    damaged.write(files(damaged))
    for status, why in rows(damaged):
        assert status == UNREADABLE
        assert re.search(reason, why), why
        assert f"dvc exp remove {damaged.name}, then lab run" in why


REFS = {
    "blob": (lambda git, sound: git.create_blob(b"x"), "its ref leads to a blob and not to a commit"),
    "tree": (lambda git, sound: git[sound].tree.id, "its ref leads to a tree and not to a commit"),
    "a tag of a blob": (
        lambda git, sound: git.create_tag("odd", git.create_blob(b"x"), pygit2.enums.ObjectType.BLOB, who(git), "odd"),
        "its ref leads to a tag and not to a commit",
    ),
    "what is not there": (lambda git, sound: "ab" * 20, "its commit abababa is not in git here any more"),
    "no tree": (
        lambda git, sound: raw(git, f"tree {'ab' * 20}\nparent {git.head.target}\n"),
        "the files of its commit",
    ),
    "no author": (lambda git, sound: raw(git, f"tree {git[sound].tree.id}\n", ""), "can't be read|author"),
    "nothing": (lambda git, sound: "", "its ref is empty or half written"),
}


def who(git: pygit2.Repository) -> pygit2.Signature:
    return git.default_signature


def raw(git: pygit2.Repository, head: str, people: str = "author a <b> 1 +0000\ncommitter a <b> 1 +0000\n") -> Any:
    """A commit that git itself would not make."""
    return git.odb.write(pygit2.enums.ObjectType.COMMIT, f"{head}{people}\nx".encode())


@pytest.mark.parametrize("what", REFS)
def test_a_ref_to_no_commit_is_a_row_with_the_reason(damaged: Damaged, what: str) -> None:
    make, reason = REFS[what]
    damaged.point_to(str(make(damaged.git, damaged.sound)))
    try:
        assert [(status, bool(re.search(reason, why))) for status, why in rows(damaged)] == [(UNREADABLE, True)] * 2
    finally:
        damaged.point_to(damaged.sound)
        damaged.project.call("git", "tag", "-d", "odd", check=False)


UNMEASURED_BY = {
    "cut off": (b'{"f1_mac', "metrics/infer.json is damaged or cut off: no JSON"),
    "a list": (b"[0.5]", "metrics/infer.json is a list: expected metrics by their names"),
    "NaN": (b'{"f1_macro": NaN}', "metrics/infer.json: f1_macro is nan: expected a finite number"),
    "infinite": (b'{"f1_macro": -Infinity}', "metrics/infer.json: f1_macro is -inf"),
    "a text": (b'{"f1_macro": "high"}', "metrics/infer.json: f1_macro is 'high'"),
    "too long": (b'{"f1_macro": 1' + b"0" * 400 + b"}", "metrics/infer.json: f1_macro is 1000"),
    "another": (b'{"accuracy": 0.5}', "metrics/infer.json has no f1_macro"),
    "empty": (b"", "metrics/infer.json is empty"),
    "nested": (b"[" * 100_000, "metrics/infer.json is damaged"),
    "half a character": (b'{"f1_macro": 0.5, "\\ud800": 1}', "metrics/infer.json is damaged"),
    "40 megabytes": (b" " * 40 * MEGABYTE + b"{}", "metrics/infer.json of .* has 40 MB"),
    "absent": (None, "metrics/infer.json is in its dvc.lock and not in its commit"),
}


@pytest.mark.parametrize("what", UNMEASURED_BY)
def test_finished_means_measured(damaged: Damaged, what: str) -> None:
    content, reason = UNMEASURED_BY[what]
    damaged.write({METRICS: content})
    for status, why in rows(damaged):
        assert status == UNMEASURED
        assert re.match(reason, why), why


def test_a_run_without_metric_is_told_everywhere(damaged: Damaged, tmp_path: Path) -> None:
    damaged.write({METRICS: b'{"f1_macro": NaN}'})
    copy = trivial.copied(damaged.project, tmp_path / "project")
    done = lab(copy.root, "run", "small")
    assert done.returncode == 1
    assert "3 finished, 1 without metric" in done.stdout
    assert "metrics/infer.json: f1_macro is nan" in done.stdout
    assert "lab run designs/small.yaml --failed" in done.stdout.replace("python -m lab", "lab")
    assert not copy.calls("train"), "it is not run again by itself"
    assert "without metric" in lab(copy.root, "status").stdout
    assert "metrics/infer.json: f1_macro is nan" in lab(copy.root, "results", "small").stdout
    assert json.loads(lab(copy.root, "results", "small", "--json").stdout)["runs"][0]["infer.f1_macro"] is None
    assert any(
        "0.1 with seed 0 is without metric" in each for each in judge(studies.read(copy.project(), "small")).reasons
    )
    lab(copy.root, "report", "small")
    (report,) = (copy.root / "docs" / "04-report").glob("*_small.md")
    assert "without metric: metrics/infer.json: f1_macro is nan" in report.read_text()
    (member, *_) = Mirror(copy.project(), pages).designs(["small"])[0].members
    assert (member.run().status, member.run().tags["failure"][:18]) == ("FAILED", "metrics/infer.json")


COMMANDS = (
    ["status"],
    ["status", "small"],
    ["results", "small"],
    ["results", "small", "--csv"],
    ["results", "small", "--json"],
    ["results", "small", "--markdown"],
    ["plan", "small"],
    ["check", "small"],
    ["report", "small"],
    ["mirror", "--all"],
    ["gc"],
    ["review", "small"],
    ["promote", "small"],
    ["run", "small"],
)


@pytest.fixture(scope="module")
def full(damaged: Damaged, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """The project with all that is odd at once: the design's first run, and an experiment for each other kind."""
    damaged.point_to(damaged.sound)
    root = tmp_path_factory.mktemp("full") / "project"
    copy = replace(damaged, project=trivial.copied(damaged.project, root))
    for number, (files, _) in enumerate(ODD.values()):
        copy.ref = f"{damaged.ref}-odd-{number}"
        copy.write(files(damaged))
    for number, (make, _) in enumerate(REFS.values()):
        copy.ref = f"{damaged.ref}-ref-{number}"
        copy.point_to(str(make(copy.git, damaged.sound)))
    copy.project.call("git", "tag", "-d", "odd")
    copy.ref = damaged.ref
    copy.write({PARAMS: b"[1"})
    return copy


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_stops_at_a_record(full: Damaged, command: list[str]) -> None:
    done = lab(full.project.root, *command)
    assert "Traceback" not in done.stderr
    said = done.stdout + done.stderr
    if command == ["run", "small"]:
        assert done.returncode == 1
        assert "3 finished, 1 unreadable" in said
        assert not full.project.calls("train"), "it is not run again in silence"
    elif command[0] not in ("check", "gc", "promote"):
        assert done.returncode == 0, said
    if command in (["status"], ["mirror", "--all"]):
        assert f"{full.name}-ref-0: unreadable: its ref leads to a blob" in said
        assert f"and {len(ODD) + len(REFS) + 1 - view.MOST} more that can't be read" in said
    if command[:2] in (["status", "small"], ["results", "small"], ["plan", "small"], ["run", "small"]):
        assert "unreadable" in said


def test_what_an_unreadable_run_has_made_is_not_freed(full: Damaged) -> None:
    done = lab(full.project.root, "gc")
    assert "no run's leavings are freed" in done.stdout, done.stderr
    project = full.project.project()
    kept = dict(needs.unread(project))
    outs = [out["md5"] for stage in yaml.safe_load(full.text(LOCK))["stages"].values() for out in stage["outs"]]
    assert set(outs) <= kept.keys(), "the dvc.lock of most can be read"


# Damage of any kind


def flipped(content: bytes, source: random.Random) -> bytes:
    text = bytearray(content)
    for _ in range(source.randint(1, 8)):
        text[source.randrange(len(text))] = source.randrange(256)
    return bytes(text)


def cut(content: bytes, source: random.Random) -> bytes:
    return content[: source.randrange(len(content))]


def blown_up(content: bytes, source: random.Random) -> bytes:
    return content + source.choice(
        [b"\nz: " + b"[" * 300, b"\n" + b"- 1\n" * 100_000, b" " * 3 * MEGABYTE, content * 50]
    )


def reshaped(content: bytes, source: random.Random) -> bytes:
    """With a value left out, or another kind of value in its place."""
    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError:
        return b"- 1"
    others = [
        "x",
        5,
        -1.5,
        None,
        True,
        [],
        {},
        ["x"],
        {"x": 1},
        "../../x",
        float("nan"),
        10**400,
        "a" * 10_000,
        {1: 2, "a": 3},
    ]
    place = found
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = source.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and source.random() < 0.8:
            place = place[key]
            continue
        if source.random() < 0.4:
            del place[key]
        else:
            place[key] = source.choice(others)
        break
    return yaml.safe_dump(found).encode()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(FILES), min_size=1, max_size=2, unique=True),
    st.sampled_from([flipped, cut, blown_up, reshaped, reshaped]),
    st.integers(0, 10**9),
    st.booleans(),
)
def test_whatever_a_ref_holds_nothing_raises(
    damaged: Damaged, files: list[str], damage: Callable[[bytes, random.Random], bytes], seed: int, is_locked: bool
) -> None:
    source = random.Random(seed)
    damaged.write({path: damage(damaged.text(path), source) for path in files}, is_locked)
    assert_told(damaged)


@pytest.mark.nightly
@settings(max_examples=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(FILES), min_size=1, max_size=4, unique=True),
    st.sampled_from([flipped, cut, blown_up, reshaped]),
    st.integers(0, 10**9),
    st.booleans(),
)
def test_whatever_a_ref_holds_nothing_raises_at_length(
    damaged: Damaged, files: list[str], damage: Callable[[bytes, random.Random], bytes], seed: int, is_locked: bool
) -> None:
    source = random.Random(seed)
    damaged.write({path: damage(damaged.text(path), source) for path in files}, is_locked)
    assert_told(damaged)


def assert_told(damaged: Damaged) -> None:
    """What commands do with records; the run is in every list, or another one is to come in its place."""
    project = damaged.project.project()
    study = studies.read(project, "small")
    verdict = judge(study)
    frame.as_csv(frame.rows(study))
    json.loads(
        Results(design="small", answer=None, runs=frame.arranged(study)).model_dump_json(), parse_constant=pytest.fail
    )
    frame.markdown(study)
    report.markdown(study, verdict, [])
    view.overview(project, view.statuses(project))
    list(needs.unread(project))
    for projection in Mirror(project, pages).designs():
        assert projection.digest
        for member in projection.members:
            member.run()
    replicates = standings(project, damaged.runs)
    assert [each.status for each in replicates[1:]] == [FINISHED] * 3
    try:
        new = named(project, str(project.head), damaged.runs, again=False)
    except Exception as error:
        assert f"dvc exp remove {damaged.name}" in str(error)
    else:
        assert (damaged.name in new) == replicates[0].is_to_come
