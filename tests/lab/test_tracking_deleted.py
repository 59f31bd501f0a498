"""What people and other programs do to the runs in MLflow: deleted, freed, copied. The next mirror puts it right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tracked
from tracked import dump, export, send

from lab.tracking.conformance import Experiment, Question, one, question

DESIGN = one(question("grid", 6, 2), artifacts={"run.md": b"text"})


@pytest.fixture
def mirrored(tmp_path: Path) -> tuple[str, Any]:
    """A store with the design in it, and what that looks like."""
    store = tracked.store(tmp_path)
    send(store, DESIGN, artifacts=tmp_path / "artifacts")
    return store, export(store)


def ids(store: str) -> dict[str, str]:
    """The runs that are there, by key."""
    runs = tracked.sink(store).client.search_runs(["1"])
    return {run.data.tags.get("dvc.exp.id") or run.data.tags["design.id"]: run.info.run_id for run in runs}


def put_right(store: str, before: Any) -> Any:
    """What a mirror says that finds something to do, and ends where it was before; the one after it has nothing."""
    place = Path(store.removeprefix("sqlite:///")).parent / "artifacts"
    report = send(store, DESIGN, artifacts=place)
    assert dump(export(store)) == dump(before)
    again = send(store, DESIGN, artifacts=place)
    assert (again.created, again.updated) == (0, 0)
    return report


@pytest.mark.parametrize("deleted", [["grid"], ["0123456789ab/grid-3"], ["grid", "0123456789ab/grid-3"]])
def test_what_was_deleted_is_restored(mirrored: tuple[str, Any], deleted: list[str]) -> None:
    store, before = mirrored
    known = ids(store)
    tracked.sink(store).delete(known[key] for key in deleted)
    report = put_right(store, before)
    assert report.created == 0
    assert ids(store) == known, "the same runs: whatever links to them still does"
    names = [key.rpartition("/")[2] for key in deleted]
    assert report.messages == [f"{name} had been deleted in MLflow, and is back" for name in names]


def test_a_design_deleted_for_good_adopts_its_experiments(mirrored: tuple[str, Any]) -> None:
    """As after `mlflow gc`: nothing says any more which run the experiments were below."""
    store, before = mirrored
    known = ids(store)
    forget(store, known.pop("grid"))
    assert put_right(store, before).created == 1
    assert known.items() <= ids(store).items()


def test_an_experiment_deleted_for_good_is_made_anew(mirrored: tuple[str, Any]) -> None:
    store, before = mirrored
    forget(store, ids(store)["0123456789ab/grid-0"])
    assert put_right(store, before).created == 1


def forget(store: str, run_id: str) -> None:
    """Take a run out of the database."""
    target = tracked.sink(store)
    target.delete([run_id])
    target.client._tracking_client.store._hard_delete_run(run_id)


def test_what_was_doubled_by_an_older_mirror_is_healed(mirrored: tuple[str, Any]) -> None:
    """Twelve runs for six, half of them below a design that was deleted."""
    store, before = mirrored
    client = tracked.sink(store).client
    for run in client.search_runs(["1"], "tags.design = 'grid'"):
        tags = run.data.tags | {"mlflow.parentRunId": "0" * 32}
        client.create_run("1", run.info.start_time, tags, run.info.run_name)
    assert len(client.search_runs(["1"])) == 13
    put_right(store, before)


def test_what_is_no_longer_as_it_was_is_made_anew_and_not_restored(mirrored: tuple[str, Any]) -> None:
    """A deleted run of the same name that measured something else stays deleted."""
    store, _ = mirrored
    key = "0123456789ab/grid-0"
    old = ids(store)[key]
    changed = one(DESIGN, params={"p0": "7"})
    send(store, changed)
    tracked.sink(store).delete([ids(store)[key]])
    assert send(store, changed).messages == ["grid-0 had been deleted in MLflow, and is back"]
    assert export(store)[key]["params"] == {"p0": "7"}
    assert ids(store)[key] != old


def test_what_other_programs_copied_is_not_taken_for_the_original(mirrored: tuple[str, Any], tmp_path: Path) -> None:
    """As mlflow-export-import does into another server: all tags, but neither start, data set nor all points."""
    store, before = mirrored
    other = tracked.store(tmp_path, "other.db")
    place = tmp_path / "artifacts"
    target = tracked.sink(other, place)
    target.begin()
    copies: dict[str, str] = {}
    for run in sorted(tracked.sink(store).client.search_runs(["1"]), key=lambda run: "design.id" not in run.data.tags):
        tags = dict(run.data.tags)
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = copies[tags["mlflow.parentRunId"]]
        copy = target.client.create_run(target.experiment, tags=tags, run_name=run.info.run_name)
        copies[run.info.run_id] = copy.info.run_id
        target.client.set_terminated(copy.info.run_id)
    report = send(other, DESIGN, artifacts=place)
    assert "grid-0: it was copied there by another program, so its run in MLflow was made anew" in report.messages
    assert dump(export(other)) == dump(before)
    assert send(other, DESIGN).updated == 0


def test_an_experiment_that_was_removed_stays_away(mirrored: tuple[str, Any]) -> None:
    store, _ = mirrored
    tracked.sink(store).delete([ids(store)["0123456789ab/grid-5"]])
    fewer = Question("grid", DESIGN.members[:5])
    send(store, fewer)
    assert "0123456789ab/grid-5" not in ids(store)


def test_two_designs_with_one_experiment_keep_theirs(mirrored: tuple[str, Any]) -> None:
    store, _ = mirrored
    shared = replace(DESIGN.members[0].made, key="0123456789ab/grid-0@other")
    shared = replace(shared, tags=shared.tags | {"dvc.exp.id": shared.key, "design": "other"})
    other = Question("other", [Experiment(shared)])
    send(store, DESIGN, other)
    tracked.sink(store).delete([ids(store)["other"]])
    send(store, DESIGN, other)
    parents = {key: found["tags"].get("mlflow.parentRunId") for key, found in export(store).items() if key != "views"}
    assert parents["0123456789ab/grid-0@other"] == "other"
    assert parents["0123456789ab/grid-0"] == "grid"
