"""What is sent, before any server sees it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from contracts import TRIVIAL
from hypothesis import given
from hypothesis import strategies as st

from lab import secrets
from lab.design import design_file
from lab.records.git_record import GitRecord
from lab.records.project import Project
from lab.study import Point, Replicate, Study
from lab.tracking import settings, text
from lab.tracking.conformance import START
from lab.tracking.projection import design as designs
from lab.tracking.projection import labels
from lab.tracking.projection.design import Projection
from lab.tracking.projection.member import status
from lab.tracking.run import Run
from lab.tracking.surroundings import Surroundings

BEGAN = datetime.fromtimestamp(START / 1000, UTC)
COMMON = {"type": "train", "title": "Which?", "name": "it"}


class Pages:
    """What lab.report would make."""

    def table(self, study: Study) -> str:
        return "| arm |"

    def csv(self, study: Study) -> str:
        return "arm\n"

    def run(self, study: Study, replicate: Replicate) -> str:
        return f"{study.design.title} {replicate.arm}"

    def plots(self, study: Study, record: Any) -> dict[str, bytes]:
        return {"drawn": b"PNG"}

    def report(self, study: Study, verdict: Any) -> dict[str, bytes]:
        return {"report.md": verdict.outcome.encode()}


def design(**content: Any) -> Any:
    return design_file.parse({**COMMON, **content}, TRIVIAL)


def record(name: str = "run", status: str = "finished", **more: Any) -> Any:
    """A record as git would tell it."""
    block = {"design": "it", "arm": "lr=0.1", "seed": 0, "index": 0, "levels": {"lr": 0.1}}
    values: dict[str, Any] = {
        "name": name,
        "commit": f"c-{name}",
        "baseline": "b" * 40,
        "status": status,
        "pending": None,
        "params": {"lr": 0.1, "model": {"name": "tiny"}, "experiment": block},
        "experiment": block,
        "metrics": {"infer": {"f1_macro": 0.5}} if status == "finished" else {},
        "effective": {},
        "outputs": {},
        "seconds": {},
        "started": BEGAN,
        "ended": BEGAN + timedelta(minutes=1),
        "curves": {},
        "exit_code": None,
        "reason": "",
        "checkout": "git switch --detach c-run",
        "log": "",
        "content": SimpleNamespace(measured_by={"infer": "infer", "infer_speed": "infer"}),
        "reaches": lambda stage: True,
        "key": name,
        "data": "",
        "code": "",
        **more,
    }
    made = SimpleNamespace(**values)
    made.value = lambda metric: made.metrics.get("infer", {}).get(metric.removeprefix("infer."))
    return made


def study(replicates: list[Replicate], **content: Any) -> Study:
    asked = design(**(content or {"kind": "single"}))
    return Study(asked, TRIVIAL, "b" * 40, "designs/it.yaml", "", replicates)


def replicate(made: Any, arm: str = "lr=0.1", seed: int = 0) -> Replicate:
    return Replicate(arm, {"lr": 0.1}, seed, made)


def project(replicates: list[Replicate], known: list[Any] | None = None, **around: Any) -> Projection:
    records = known or [each.record for each in replicates if each.record]
    return designs.project(study(replicates), records, Surroundings(**around), Pages())


def run(made: Any, **around: Any) -> Run:
    return project([replicate(made)], **around).members[0].run()


SWEEP = {"kind": "sweep", "sweep": {"parameters": {"lr": [0.1, 0.2]}}}
COMPARISON = {"kind": "comparison", "comparison": {"variable": "quant", "values": ["openvino_fp32", "openvino_int8"]}}
ABLATION = {"kind": "ablation", "ablation": {"baseline": ["lr=1"], "components": {"ema": "a=1", "mixup": "b=1"}}}
ADD_ONE = {"kind": "ablation", "ablation": {**ABLATION["ablation"], "method": "add_one_in"}}


@pytest.mark.parametrize(
    ("content", "arm", "levels", "expected"),
    [
        (SWEEP, "lr=0.1", {"lr": 0.1}, {"sweep.strategy": "grid", "sweep.index": 3}),
        (COMPARISON, "openvino_int8", {}, {"comparison.variable": "quant", "comparison.value": "openvino_int8"}),
        (
            ABLATION,
            "baseline",
            {"ema": True, "mixup": True},
            {"ablation.component": "all", "ablation.state": "enabled"},
        ),
        (
            ABLATION,
            "no_ema",
            {"ema": False, "mixup": True},
            {"ablation.component": "ema", "ablation.state": "disabled"},
        ),
        (ADD_ONE, "bare", {"ema": False, "mixup": False}, {"ablation.component": "all", "ablation.state": "disabled"}),
        (
            ADD_ONE,
            "only_ema",
            {"ema": True, "mixup": False},
            {"ablation.component": "ema", "ablation.state": "enabled"},
        ),
    ],
)
def test_labels(content: dict[str, Any], arm: str, levels: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = design(**content)
    assert labels.question(asked) | labels.answer(asked, arm, levels, 3) == expected


@pytest.mark.parametrize(("code", "expected"), [(1, "FAILED"), (None, "FAILED"), (-9, "KILLED"), (143, "KILLED")])
def test_how_a_failed_run_ended(code: int | None, expected: str) -> None:
    assert status(record(status="failed", exit_code=code)) == expected


def test_curves_come_first_and_in_order_then_what_came_out() -> None:
    def points(values: list[float]) -> list[Any]:
        return [Point(step, BEGAN + timedelta(seconds=step), value) for step, value in enumerate(values)]

    live = record(status="running", curves={"val/b": points([1.0]), "val/a": points([2.0])}, ended=None)
    done = record(curves={"val/b": points([1.0, 3.0]), "val/a": points([2.0, 4.0])}, seconds={"train": 60.0})
    before, after = run(live), run(done)
    assert (before.status, before.end) == ("RUNNING", None)
    assert [point.key for point in after.points] == [
        "val/a",
        "val/b",
        "val/a",
        "val/b",
        "infer.f1_macro",
        "seconds.train",
    ]
    assert after.points[: len(before.points)] == before.points, "what was sent while it ran stays"
    assert [point.step for point in after.points] == [1, 1, 2, 2, 2, 2], "epochs are counted from 1"


def test_infinite_values_are_named_not_sent() -> None:
    found = run(record(metrics={"infer": {"f1_macro": math.inf, "loss": math.nan}}))
    assert [point.key for point in found.points] == ["infer.loss"]
    assert found.tags["infinite"] == "infer.f1_macro"


def test_rows_of_a_running_training(tmp_path: Path) -> None:
    """The file is read while training writes it, and may be an earlier attempt's."""
    loaded, ended = BEGAN + timedelta(seconds=3), BEGAN + timedelta(seconds=9)
    rows = [{"started": BEGAN.isoformat()}, {"began": loaded.isoformat()}]
    rows += [{"epoch": 0, "ended": ended.isoformat(), "metrics": {"val/loss": 0.5}}]
    path = tmp_path / ".cache" / "epochs" / f"{'b' * 12}-run.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"epoch": 1, "ended": "2026-')

    def found(taken: float) -> Any:
        project, pending = Project(tmp_path), SimpleNamespace(taken=taken)
        project.contract = TRIVIAL
        return GitRecord(project, "run", "c" * 40, "b" * 40, "running", pending)  # type: ignore[arg-type]

    now = found(BEGAN.timestamp() - 5)
    assert now.curves == {"val/loss": [Point(0, ended, 0.5)]}
    assert (now.started, now.epochs_began) == (BEGAN, loaded)
    later = found(BEGAN.timestamp() + 5)
    assert later.curves == {} and later.epochs_began is None
    assert later.started == BEGAN + timedelta(seconds=5)


def test_long_params_are_cut_and_kept() -> None:
    found = run(record(params={"text": "x" * 7000, "list": [1, 2], "on": True, "none": None, "api_key": "k"}))
    assert len(found.params["text"]) == 6000
    assert found.params["text"].endswith("… (all of it in the artifact params/text.txt)")
    assert found.artifacts["params/text.txt"] == b"x" * 7000
    assert {name: found.params.get(name) for name in ("list", "on", "none", "api_key")} == {
        "list": "[1, 2]",
        "on": "true",
        "none": "null",
        "api_key": "***",
    }


def test_a_clock_that_went_back() -> None:
    found = run(record(ended=BEGAN - timedelta(hours=1)))
    assert (found.start, found.end) == (START, START)


def test_secrets_are_taken_out_everywhere() -> None:
    failed = record(status="failed", reason="no hush here", log="hush at https://me:hush@host/x", params={"a": "hush"})
    found = run(failed, secrets=["hush"], source="https://me@host/x")
    assert "hush" not in repr(found)
    assert found.tags["failure"] == "no *** here"


def test_an_older_run_of_an_arm_is_superseded() -> None:
    old, new, queued = record("old"), record("new"), record("later", status="queued")
    old.baseline = "a" * 40
    gone = record("gone", experiment={"design": "it", "arm": "lr=9", "seed": 0})
    found = project([replicate(new), replicate(queued, seed=1)], [old, new, queued, gone])
    assert {member.key: member.superseded for member in found.members} == {
        f"{'b' * 12}/new": "",
        f"{'a' * 12}/old": f"{'b' * 12}/new",
        f"{'b' * 12}/gone": "the design has no such run any more",
    }
    assert found.active, "one is queued"
    assert found.parent({}).status == "RUNNING"


def test_the_best_run_is_what_the_best_arm_delivers() -> None:
    """Not its luckiest seed, and not another arm's: `lab review --best` and `lab promote` take the same."""
    values = {("0.1", 0): 0.9, ("0.1", 1): 0.2, ("0.2", 0): 0.6, ("0.2", 1): 0.7, ("0.2", 2): 0.8}
    replicates = []
    for (arm, seed), value in values.items():
        made = record(f"run-{arm}-{seed}", metrics={"infer": {"f1_macro": value}})
        replicates.append(Replicate(arm, {"lr": float(arm)}, seed, made))
    best = project(replicates).best
    assert best is not None and (best.replicate.arm, best.replicate.seed) == ("0.2", 1)


def test_an_arm_with_a_name_is_told_by_what_it_sets() -> None:
    values = {"fast": "lr=0.01", "both": ["lr=0.1", "+training.new=2"]}
    named = design(kind="comparison", comparison={"values": values})
    assert labels.settings(named, "fast", {"arm": "fast"}) == {"lr": "0.01"}
    assert labels.settings(named, "both", {"arm": "both"}) == {"lr": "0.1", "training.new": "2"}
    assert labels.settings(design(**SWEEP), "lr=0.1", {"lr": 0.1}) == {"lr": 0.1}


def test_the_digest_tells_what_is_new() -> None:
    digests = [
        project([replicate(record())]).digest,
        project([replicate(record())]).digest,
        project([replicate(record(commit="other"))]).digest,
        project([replicate(record(status="running", curves={"a": [Point(0, BEGAN, 1.0)]}))]).digest,
        project(
            [replicate(record(status="running", curves={"a": [Point(0, BEGAN, 1.0), Point(1, BEGAN, 1.0)]}))]
        ).digest,
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


@given(st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_names_are_ones_that_mlflow_takes_and_stay_apart(originals: list[str]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    named = text.names(originals)
    assert len(set(named.values())) == len(originals)
    for name in named.values():
        _validate_metric_name(name)
        assert len(name) <= text.NAME


def test_addresses_without_their_users() -> None:
    assert secrets.hide("https://me:pass@host/x and ssh://git@host") == "https://host/x and ssh://host"


def test_what_the_environment_says_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MLFLOW_TRACKING_URI=http://one\nMLFLOW_TRACKING_USERNAME=me\nOTHER=x\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://two")
    for name in ("MLFLOW_TRACKING_USERNAME", "OTHER"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    settings.environment(tmp_path)
    import os

    assert settings.uri(tmp_path) == "http://two"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert "OTHER" not in os.environ
