"""`lab gc`: it frees what nothing needs, and no review, report, check, promotion or status is another one after it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import answered
import in_process
import pytest
import trivial
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trivial import Trivial

from lab import yaml12
from lab.errors import UserError
from lab.records.studies import read
from lab.retention import gc, needs
from lab.retention.plan import Output, plan

pytestmark = pytest.mark.slow

CHECKPOINTS, PREDICTIONS = "models/checkpoints", "results/infer/predictions.csv"
CACHED = ("data/prepared", "models/model.pt", CHECKPOINTS, PREDICTIONS)
SCORING = '''
"""The share of right items."""

def share(frame, metric):
    right = frame["correct"].to_numpy(float)
    return (lambda weights: right @ weights / weights.sum(0)) if metric == "infer.f1_macro" else None
'''
RESULTS = trivial.results


def results(project: Trivial, stage: str, params: dict[str, Any], metrics: Any) -> Iterator[tuple[str, bytes]]:
    """What a stage writes, with checkpoints and with what was said of each of twenty items."""
    right = [i < 20 * params["lr"] - params["seed"] for i in range(20)]

    def measured(lr: float, seed: int) -> dict[str, Any]:
        return metrics(lr, seed) | ({"f1_macro": sum(right) / len(right)} if stage == "infer" else {})

    yield from RESULTS(stage, params, measured)
    if stage == "train":
        files = {
            "best.pt": f"best {params['lr']} {params['seed']}".encode(),
            "last.pt": b"one",
        }  # one: a file of others
        written = {f"{CHECKPOINTS}/{name}": content for name, content in files.items()}
        trivial.keep(project, trivial.listing(written, CHECKPOINTS), ".dir")
        yield from written.items()
    if stage == "infer":
        rows = [f"item{i},{int(hit)}" for i, hit in enumerate(right)]
        yield PREDICTIONS, "\n".join(["path,correct", *rows, ""]).encode()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project in which two designs have run, whose verdicts rest on test items. Not to be changed."""
    project = trivial.make(tmp_path_factory.mktemp("retention") / "project")
    pipeline = yaml.safe_load((project.root / "dvc.yaml").read_text())
    pipeline["stages"]["train"]["outs"].append(CHECKPOINTS)
    pipeline["stages"]["infer"]["outs"] = [PREDICTIONS]
    (project.root / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    contract = yaml12.mapping((project.root / "lab.yaml").read_text())
    contract |= {"recipes": [], "predictions": {"output": "results/{stage}/predictions.csv", "called": "image"}}
    contract["metrics"]["*.f1_macro"]["per_item"] = "scoring:share"
    (project.root / "lab.yaml").write_text(yaml12.dump(contract))
    (project.root / "src" / "scoring.py").write_text(SCORING)
    with (project.root / ".gitignore").open("a") as file:
        file.write(f"/{CHECKPOINTS}\n/results\n")
    answered.design(project, "small", 0.5, 0.1)
    answered.design(project, "large", 0.8, 0.5)
    with mock.patch.object(trivial, "results", lambda *given: results(project, *given)):
        for name in ("small", "large"):
            trivial.carry_out(project, name)
    return project


@pytest.fixture
def fresh(answers: Trivial, tmp_path: Path) -> Trivial:
    """A copy of it."""
    return trivial.copied(answers, tmp_path / "project")


@pytest.fixture(scope="module")
def reviewed(answers: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """One whose two designs have a review branch each. Not to be changed."""
    project = trivial.copied(answers, tmp_path_factory.mktemp("reviewed") / "project")
    for design in ("small", "large"):
        lab(project, "review", design)
    return project


@pytest.fixture
def project(reviewed: Trivial, tmp_path: Path) -> Trivial:
    """A copy of that."""
    return trivial.copied(reviewed, tmp_path / "project")


def lab(project: Trivial, *arguments: str, code: int = 0) -> str:
    """What `lab` prints on both streams. It ends with `code`, and never with a traceback."""
    done = in_process.lab(project.root, *arguments)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def path_of(project: Trivial, md5: str) -> Path:
    return project.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def is_whole(project: Trivial, out: dict[str, Any]) -> bool:
    """Whether an output of dvc.lock is in the cache, with its files."""
    path = path_of(project, out["md5"])
    if not path.exists() or not out["md5"].endswith(".dir"):
        return path.exists()
    return all(path_of(project, entry["md5"]).exists() for entry in json.loads(path.read_text()))


def run(project: Trivial, arm: str, seed: int = 0) -> Any:
    """The record of a design's run."""
    records = project.project().records()
    return next(r for r in records if (r.experiment.get("arm"), r.experiment.get("seed")) == (arm, seed))


def answer(project: Trivial, design: str) -> list[str]:
    """What `lab` says of an answered design: its table, its report, its pictures, and the check of its branch."""
    found = read(project.project(), design)
    said = [lab(project, "results", design, "--json"), lab(project, "report", design)]
    folder = project.root / "docs" / "04-report"
    said += [path.read_text() for path in sorted(folder.rglob("*")) if path.suffix in (".md", ".csv", ".json")]
    shutil.rmtree(folder)
    assert found.finished
    project.call("git", "switch", "-q", f"exp/{design}")
    checked = lab(project, "review", design, "--check").splitlines()
    aside = ("Not to be looked at, and nothing here rests on it", "was not looked at")  # what is freed, if it was sent
    said += [line for line in checked if not any(words in line for words in aside)]
    project.call("git", "switch", "-q", "main")
    return said


def test_no_answer_is_another_one_afterwards(project: Trivial) -> None:
    lab(project, "promote", "small", "--force", "a test")
    before = [lab(project, "status"), *answer(project, "small"), *answer(project, "large")]
    told = lab(project, "gc", "--yes")
    assert "models/model.pt" in told and "verdict and its report are made of" in told and "freed here" in told
    assert not is_whole(project, run(project, "0.1").outputs["models/model.pt"])
    assert not is_whole(project, run(project, "0.1").outputs[CHECKPOINTS])
    assert all(is_whole(project, record.outputs[PREDICTIONS]) for record in project.project().records())
    assert [lab(project, "status"), *answer(project, "small"), *answer(project, "large")] == before
    assert "is the champion, before it was" in lab(project, "promote", "large", "--force", "a test")
    lab(project, "promote", "--rollback")
    assert lab(project, "gc", "--yes").endswith("Nothing to free.\n")


def test_what_has_no_committed_verdict_keeps_all(fresh: Trivial) -> None:
    assert "Nothing to free." in lab(fresh, "gc", "--yes")
    lab(fresh, "report", "small")  # written, and in no commit yet
    assert "small is open: its verdict is in no commit" in lab(fresh, "gc", "--yes")
    lab(fresh, "review", "small")
    lab(fresh, "gc", "--yes")
    assert not is_whole(fresh, run(fresh, "0.1").outputs["models/model.pt"])
    # The other one's runs are whole, also those that it has in common with the answered one.
    for replicate in read(fresh.project(), "large").replicates:
        assert all(is_whole(fresh, replicate.record.outputs[path]) for path in CACHED)


def test_it_asks_and_keeps_what_it_is_told(project: Trivial) -> None:
    lost = run(project, "0.1").outputs
    with mock.patch("lab.cli.gc.typer.confirm", return_value=False):
        lab(project, "gc", code=1)
    assert is_whole(project, lost["models/model.pt"])
    assert "--keep small" in lab(project, "gc", "--yes", "--keep", "small", "--keep", "large")
    assert is_whole(project, lost[CHECKPOINTS])
    lab(project, "gc", "--yes", "--keep", "models")
    assert is_whole(project, lost["models/model.pt"]) and not is_whole(project, lost[CHECKPOINTS])
    assert "--keep smal: no design smal" in lab(project, "gc", "--keep", "smal", code=2)


def test_an_open_design_keeps_what_it_takes_from_others(project: Trivial) -> None:
    question = {key: value for key, value in answered.QUESTION.items() if key != "hypothesis"} | {"type": "infer"}
    values = {"variable": "infer.model", "values": {"old": "infer.model=small:0.1@0", "new": "infer.model=small:0.5"}}
    path = project.root / "designs" / "two.yaml"
    path.write_text(yaml.safe_dump(question | {"comparison": values}))
    project.call("git", "switch", "-q", "-c", "mine")
    project.commit("two models, on a branch")
    project.call("git", "switch", "-q", "main")
    told = lab(project, "gc", "--yes")
    assert "two is open" in told
    assert is_whole(project, run(project, "0.1").outputs["models/model.pt"])
    project.call("git", "branch", "-q", "-D", "mine")
    lab(project, "gc", "--yes")
    assert not is_whole(project, run(project, "0.1").outputs["models/model.pt"])


def test_a_queued_run_keeps_the_training_that_it_would_find(project: Trivial) -> None:
    again = run(project, "0.1")
    project.enqueue(project.run("later", lr=again.params["lr"], seed=again.params["seed"], target="quant"))
    assert "later is queued" in lab(project, "gc", "--yes")
    assert is_whole(project, again.outputs["models/model.pt"]) and is_whole(project, again.outputs["data/prepared"])
    assert not is_whole(project, run(project, "0.1", 1).outputs["models/model.pt"])


def test_on_the_remote_too_and_nothing_of_others(fresh: Trivial, tmp_path: Path) -> None:
    remote = tmp_path / "data"
    fresh.call("git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote"))
    fresh.call("git", "remote", "add", "origin", str(tmp_path / "remote"))
    fresh.call("dvc", "remote", "add", "--force", "--default", "shared", str(remote))
    fresh.commit("a remote")
    fresh.call("git", "push", "-q", "origin", "main")
    for design in ("small", "large"):
        lab(fresh, "review", design, "--best", "--push")
    lost = run(fresh, "0.1").outputs["models/model.pt"]["md5"]
    # Another fresh's folder on the same remote, one of whose files is a model here.
    listing = json.dumps([{"md5": lost, "relpath": "theirs.pt"}]).encode()
    theirs = remote / "files" / "md5" / trivial.md5(listing)[:2] / f"{trivial.md5(listing)[2:]}.dir"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(listing)
    gone = run(fresh, "0.1", 1).outputs[CHECKPOINTS]["md5"]
    assert "on shared" not in lab(fresh, "gc", "--yes")
    assert (remote / "files" / "md5" / gone[:2] / gone[2:]).exists()
    assert "freed on shared" in lab(fresh, "gc", "--yes", "--shared")
    assert not (remote / "files" / "md5" / gone[:2] / gone[2:]).exists()
    assert (remote / "files" / "md5" / lost[:2] / lost[2:]).exists() and theirs.exists()
    # A colleague checks and pulls as before, and the answer may be pushed again.
    clone = Trivial(tmp_path / "clone")
    fresh.call("git", "clone", "-q", str(tmp_path / "remote"), str(clone.root))
    clone.call("git", "switch", "-q", "exp/small")
    lab(clone, "review", "--check")
    clone.call("dvc", "pull", "-q")
    assert (clone.root / "models" / "model.pt").exists()
    lab(fresh, "review", "small", "--arm", "0.1", "--push", code=2)  # its own model is gone, and it says so
    lab(fresh, "review", "small", "--best", "--push")
    fresh.call("git", "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    assert "nobody knows what others need" in lab(fresh, "gc", "--shared", "--yes", code=2)


def test_a_cache_that_others_read_is_left_alone(fresh: Trivial, tmp_path: Path) -> None:
    shutil.move(fresh.root / ".dvc" / "cache", tmp_path / "cache")
    fresh.call("dvc", "cache", "dir", "-q", str(tmp_path / "cache"))
    fresh.commit("a cache for all")
    for design in ("small", "large"):
        lab(fresh, "review", design)
    assert "outside of the project" in lab(fresh, "gc", "--yes")
    assert "freed here" in lab(fresh, "gc", "--yes", "--shared")


def test_it_waits_for_nobody_and_frees_nothing_beside_runs(project: Trivial) -> None:
    with mock.patch("lab.execution.dvc.backend.DvcBackend.workers", return_value=1):
        assert "runs are under way" in lab(project, "gc", "--yes", code=2)
    lock = project.root / ".dvc" / "tmp" / "rwlock"
    lock.write_text(json.dumps({"models": {"write": {"pid": 1, "cmd": "dvc repro"}}}))
    assert "DVC is at work here (dvc repro)" in lab(project, "gc", "--yes", code=2)
    assert is_whole(project, run(project, "0.1").outputs["models/model.pt"])


@pytest.mark.parametrize("after", [1, 5])
def test_killed_it_leaves_nothing_dangling_and_the_next_one_goes_on(project: Trivial, after: int) -> None:
    checkpoints = {record.commit: record.outputs[CHECKPOINTS] for record in project.project().records()}
    lists = {commit: json.loads(path_of(project, out["md5"]).read_text()) for commit, out in checkpoints.items()}
    calls = 0
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal calls
        if "files/md5" in path.as_posix():
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with mock.patch.object(Path, "unlink", killed), pytest.raises(KeyboardInterrupt):
        free(project)
    for out in checkpoints.values():
        assert not path_of(project, out["md5"]).exists() or is_whole(project, out)
    free(project)
    gone = [commit for commit, out in checkpoints.items() if not path_of(project, out["md5"]).exists()]
    left = [entry["md5"] for commit in gone for entry in lists[commit] if entry["relpath"] == "best.pt"]
    assert left and not any(path_of(project, md5).exists() for md5 in left)
    assert not gc.journal(project.project()).exists()


def free(project: Trivial, *keep: str) -> gc.Found:
    """`lab gc --yes --keep …` in this process. Returns what was told."""
    known = project.project()
    with ExitStack() as stack:
        told = gc.look(known, stack, keep)
    gc.free(known, project.backend(), keep, False, told)
    return told


def test_what_failed_and_removed_runs_left_goes_as_well(project: Trivial) -> None:
    trivial.keep(project, b"of a run that failed later on")
    md5 = trivial.md5(b"of a run that failed later on")
    entry = {"cmd": "x", "params": {"params.yaml": {"lr": 99}}, "outs": [{"path": "models/model.pt", "md5": md5}]}
    path = project.root / ".dvc" / "cache" / "runs" / "aa" / "aabb" / "ccdd"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(entry))
    (project.root / "unknown").write_text("nobody's")
    trivial.keep(project, b"nobody's")
    assert "of failed or removed runs" in lab(project, "gc", "--yes")
    assert not path.exists() and not path_of(project, md5).exists()
    assert path_of(project, trivial.md5(b"nobody's")).exists()


def test_checkouts_of_killed_runs_go(project: Trivial) -> None:
    exps = project.root / ".dvc" / "tmp" / "exps"
    for name, hours in {"tmpold": 2, "tmpnew": 0, "tmpnoted": 2}.items():
        (exps / name).mkdir(parents=True)
        (exps / name / "weights").write_text("0123456789")
        os.utime(exps / name, (time.time() - 3600 * hours,) * 2)
    note = exps / "run" / "abc" / "abc.run"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"root_dir": str(exps / "tmpnoted")}))
    assert "1 temporary checkouts of runs that were killed go as well: 10 B" in lab(project, "gc", "--yes")
    assert [path.name for path in sorted(exps.glob("tmp*"))] == ["tmpnew", "tmpnoted"]


# Nothing needed is freed


@given(data=st.data())
def test_no_file_of_a_needed_output_is_freed(data: st.DataObject) -> None:
    files = [f"f{i}" for i in range(6)]
    folders = {f"d{i}.dir": data.draw(st.lists(st.sampled_from(files), unique=True)) for i in range(4)}
    everything = [*files, *folders]
    made = data.draw(st.lists(st.sampled_from(everything)))
    needed = data.draw(st.dictionaries(st.sampled_from(everything), st.just("why")))

    def parts(md5: str) -> list[str]:
        return [md5, *folders.get(md5, [])]

    freed, kept = plan([Output("path", md5) for md5 in made], needed, parts)
    assert not freed.keys() & {part for md5 in needed for part in parts(md5)}
    assert freed.keys() | kept.keys() >= {part for md5 in made for part in parts(md5)}  # all else of them goes
    assert freed.keys() <= {part for md5 in made for part in parts(md5)}  # and nothing of anybody else


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reviewed=st.sets(st.sampled_from(["small", "large"])),
    champion=st.sampled_from(["", "small", "large"]),
    tagged=st.booleans(),
    keep=st.sets(st.sampled_from(["small", "large", needs.MODELS])),
)
def test_whatever_has_happened_nothing_needed_goes(
    answers: Trivial,
    tmp_path_factory: pytest.TempPathFactory,
    reviewed: set[str],
    champion: str,
    tagged: bool,
    keep: set[str],
) -> None:
    project = trivial.copied(answers, tmp_path_factory.mktemp("any") / "project")
    for design in sorted(reviewed):
        lab(project, "review", design)
    if champion:
        lab(project, "promote", champion, "--force", "a test")
    if tagged:
        project.call("git", "tag", "shown", run(project, "0.1", 1).commit)
    free(project, *sorted(keep))
    known = project.project()
    for commit in known.git.tips().values():
        outs = [out for stage in known.commit(commit).locked.values() for out in stage["outs"]]
        assert all(is_whole(project, out) for out in outs if out["path"] in CACHED)
    if champion:
        tracked = yaml.safe_load((project.root / "models" / "champion" / "champion.dvc").read_text())
        assert all(is_whole(project, out) for out in tracked["outs"])
    for design in ("small", "large"):
        for record in read(known, design).finished:
            cached = {path: record.outputs[path] for path in CACHED}
            assert is_whole(project, cached[PREDICTIONS])
            if design not in reviewed or design in keep:
                assert all(is_whole(project, out) for out in cached.values())
            if needs.MODELS in keep:
                assert is_whole(project, cached["models/model.pt"])


def test_a_wrong_word_is_told(fresh: Trivial) -> None:
    with pytest.raises(UserError, match="--keep modles"):
        free(fresh, "modles")
