"""Records that tests write without workers are those that DVC's own workers leave."""

from __future__ import annotations

from pathlib import Path

import answered
import pytest
import trivial

from lab.nested_keys import flat

ITS_OWN = ("started", "ended", "seconds")  # moments differ


@pytest.mark.slow
def test_a_written_record_is_the_one_that_a_worker_leaves(tmp_path: Path) -> None:
    theirs = trivial.make(tmp_path / "theirs" / "project")
    ours = trivial.copied(theirs, tmp_path / "ours" / "project")
    runs = [theirs.run("one", 0.3, 1), theirs.run("two", 0.3, 1, target="quant", wave=1), theirs.run("bad", -1.0)]
    theirs.execution().add(runs)
    for run in runs[:2]:
        trivial.experiment(ours, run)
    trivial.failure(ours, runs[2], "lr=-1.0 should be above 0")
    for name in ("one", "two"):
        their, our = theirs.records()[name], ours.records()[name]
        for part in ("status", "baseline", "params", "experiment", "key", "code", "data", "metrics", "stage"):
            assert getattr(our, part) == getattr(their, part), part
        assert list(our.content.stages) == list(their.content.stages)
        assert our.content.first_stages == their.content.first_stages
        assert {path: out for path, out in our.outputs.items() if "effective" not in path} == {
            path: out for path, out in their.outputs.items() if "effective" not in path
        }
        assert {name: [(p.step, p.value) for p in points] for name, points in our.curves.items()} == {
            name: [(p.step, p.value) for p in points] for name, points in their.curves.items()
        }
        assert without_times(our.effective) == without_times(their.effective)
        assert set(our.content.git.names(our.commit, ".")) == set(their.content.git.names(their.commit, "."))
        store = ours.project().store
        assert all(store.file(our.outputs[path]["md5"]) for path in ("models/model.pt", "data/prepared"))
    their, our = theirs.records()["bad"], ours.records()["bad"]
    for part in ("status", "params", "reason", "exit_code", "metrics", "key", "baseline"):
        assert getattr(our, part) == getattr(their, part), part
    assert {row["name"] for row in trivial.experiments(ours)} == {"one", "two", "bad"}
    ours.call("dvc", "exp", "apply", "one")
    assert (ours.root / "models" / "model.pt").read_text() == "0.3 1"


def without_times(effective: dict) -> dict:
    return {key: value for key, value in flat(effective).items() if not key.endswith(ITS_OWN) and ".epochs" not in key}


def test_the_answered_project(answers: trivial.Trivial) -> None:
    values = {name: record.value("infer.f1_macro") for name, record in answers.records().items()}
    assert len(values) == 8
    assert sorted(value for value in values.values() if value is not None) == [
        answered.measured(lr, seed)["f1_macro"] for lr in (0.1, 0.5, 0.8) for seed in (0, 1)
    ]
    assert [record.reason for record in answers.records().values() if record.status == "failed"] == [
        "train ended with 1: lr=-0.2 should be above 0"
    ] * 2
