"""Runs in MLflow: each once and each point once, whatever happens on the way."""

from __future__ import annotations

import math
import random
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tracked
import trivial
from tracked import dump, export, send

from lab.tracking import text
from lab.tracking.conformance import START, Experiment, Question, one, question, run
from lab.tracking.mlflow import views
from lab.tracking.mlflow.sink import MlflowSink
from lab.tracking.sink import Report, Trouble

SLOW = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> str:
    return tracked.store(tmp_path)


def test_a_second_pass_has_nothing_to_do(store: str) -> None:
    design = question("grid", 3, 5)
    report = send(store, design)
    assert (report.created, report.messages) == (4, [])
    before = export(store)
    report = send(store, design)
    assert (report.created, report.updated) == (0, 0)
    assert export(store) == before
    child = before["0123456789ab/grid-1"]
    assert child["info"] == ["grid-1", "FINISHED", START + 1000, START + 61_000]
    assert child["tags"]["mlflow.parentRunId"] == "grid"
    assert child["metrics"]["val/m1"] == [
        [step, START + 1000 + 1000 * (step + 1), repr(2 + step / 7)] for step in range(5)
    ]
    assert before["grid"]["tags"]["best.run_id"] == "0123456789ab/grid-0"


def test_a_long_note_with_its_links_is_no_longer_than_mlflow_takes() -> None:
    answer = "**SUPPORTED**: yes"
    made = replace(run("grid"), note=text.cut(f"{answer}\n\n{'a table ' * 2000}", text.TAG), metrics=["infer.f1"])
    linked = views.linked(made, "1", "2")
    assert linked.startswith(f"{answer}\n\n[Charts](") and linked.endswith("…") and len(linked) == text.TAG


def test_a_store_made_again_is_the_same(store: str, tmp_path: Path) -> None:
    design = question("grid", 3, 4)
    growing = one(design, status="RUNNING", end=None, points=design.members[0].made.points[:4])
    for state in (growing, design):
        send(store, state, question("other", 2, 3))
    before = export(store)
    again = tracked.store(tmp_path, "again.db")
    send(again, question("other", 2, 3), design)
    assert dump(export(again)) == dump(before)


def test_curves_grow(store: str) -> None:
    design = question("grid", 2, 6)
    points = design.members[0].made.points
    for number in (2, 4, 4, 12):
        running = number < 12
        state = one(design, points=points[:number], **({"status": "RUNNING", "end": None} if running else {}))
        report = send(store, state)
        assert report.messages == []
        found = export(store)["0123456789ab/grid-0"]
        assert sum(map(len, found["metrics"].values())) == number
        assert found["info"][1] == ("RUNNING" if running else "FINISHED")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": START + 7}, "it was started anew"),
        ({"params": {"lr": "0.3"}}, "its params have changed"),
        ({"points": run("x/y", {"val/m0": [9.0, 8.0]}).points}, "what it measured has changed"),
    ],
)
def test_another_run_of_the_same_name_takes_its_place(store: str, change: dict[str, Any], said: str) -> None:
    design = question("grid", 2, 3)
    send(store, design)
    changed = one(design, **change)
    report = send(store, changed)
    assert report.messages == [f"grid-0: {said}, so its run in MLflow was made anew"]
    found = export(store)
    assert len(found) == 4  # the views, the design, its runs
    assert found["0123456789ab/grid-0"]["params"] == changed.members[0].made.params
    assert sum(map(len, found["0123456789ab/grid-0"]["metrics"].values())) == len(changed.members[0].made.points)
    assert send(store, changed).created == 0


def test_a_renamed_experiment_keeps_its_run(store: str) -> None:
    first, second = question("grid", 2, 3).members
    send(store, Question("grid", [replace(first, revision="c0ffee", made=tagged(first, "c0ffee")), second]))
    client = tracked.sink(store).client
    known = {run.info.run_id for run in client.search_runs(["1"])}
    renamed = replace(tagged(first, "c0ffee"), key="0123456789ab/better")
    renamed = replace(renamed, name="better", tags=renamed.tags | {"dvc.exp.id": renamed.key, "dvc.exp.name": "better"})
    report = send(store, Question("grid", [Experiment(renamed, "c0ffee"), second]))
    assert report.messages == ["grid-0 is called better now"]
    assert {run.info.run_id for run in client.search_runs(["1"])} == known
    assert export(store)["0123456789ab/better"]["info"][0] == "better"


def tagged(member: Experiment, revision: str) -> Any:
    return replace(member.made, tags=member.made.tags | {"dvc.exp.rev": revision})


def test_what_two_clones_made_twice_becomes_one(store: str) -> None:
    """Clones have no lock in common: each made a parent and its children before it could see the other's."""
    design = question("grid", 3, 4)
    for name in ("one", "two"):
        clone = tracked.sink(store)
        clone.begin()
        clone.parents = {}  # as it was before the other began
        parent = clone.client.create_run(clone.experiment, design.start, {"design.id": "grid"}, "grid")
        for member in design.members[: 3 if name == "one" else 2]:
            tags = {"dvc.exp.id": member.key, "design": "grid", "mlflow.parentRunId": parent.info.run_id}
            clone.client.create_run(clone.experiment, member.made.start, tags, member.made.name)
    send(store, design)
    found = export(store)
    assert len(found) == 5
    assert all(sum(map(len, found[m.key]["metrics"].values())) == 8 for m in design.members)
    assert {found[m.key]["tags"]["mlflow.parentRunId"] for m in design.members} == {"grid"}


def lasting(target: MlflowSink, design: Question) -> Report:
    """One more pass of a mirror that lasts."""
    target.begin()
    return Report() if target.has(design) else target.send(design)


def test_a_mirror_that_lasts_reads_what_has_changed(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tracked.sink(store)
    lasting(target, question("grid", 30, 2))
    read = []
    search = target.client.search_runs
    monkeypatch.setattr(
        target.client, "search_runs", lambda *given, **named: read.extend(found := search(*given, **named)) or found
    )
    assert lasting(target, question("grid", 31, 2)).created == 1
    assert lasting(target, one(question("grid", 31, 2), status="FAILED")).updated == 2
    assert len(read) < 10, "not all thirty of them"
    assert len(export(store)) == 33


def outside(store: str, event: str, chance: random.Random) -> None:
    """What people do in MLflow's pages."""
    client = tracked.sink(store).client
    tag = "design.id" if event == "the design deleted" else "dvc.exp.id"
    if found := list(client.search_runs(["1"], f"tags.`{tag}` LIKE '%'")):
        client.delete_run(chance.choice(found).info.run_id)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4, 60))])
def test_a_mirror_that_lasts_brings_what_a_new_one_does(store: str, tmp_path: Path, seed: int) -> None:
    chance, target, steps = random.Random(seed), tracked.sink(store), [2, 2]
    events = ["a new run", "a longer run", "a run deleted", "the design deleted", "another mirror's run", "nothing"]
    deleted = False

    def design() -> Question:
        return Question("grid", [question("grid", n + 1, length).members[n] for n, length in enumerate(steps)])

    lasting(target, design())
    for event in (chance.choice(events) for _ in range(10)):
        if event.endswith("deleted"):
            outside(store, event, chance)
            deleted |= event == "a run deleted"
        if event.endswith("new run") or event.startswith("another"):
            steps.append(2)
        if event == "a longer run":
            steps[chance.randrange(len(steps))] += 1
        if event.startswith("another"):
            send(store, design())
        lasting(target, design())
    again = tracked.store(tmp_path, "again.db")
    send(again, design())
    assert deleted or dump(export(store)) == dump(export(again)), "what nobody has deleted is there at once"
    send(store, design())
    assert dump(export(store)) == dump(export(again)), "and what somebody has when all of it is looked at again"


SCRIPT = """
import sys
import tracked
from lab.tracking.conformance import question
tracked.send(sys.argv[1], question("grid", *map(int, sys.argv[2:])))
"""


def mirroring(store: str, runs: int, steps: int) -> subprocess.Popen[bytes]:
    return tracked.script(SCRIPT, store, str(runs), str(steps))


@SLOW
def test_mirrors_at_once_without_a_lock(store: str) -> None:
    both = [mirroring(store, 12, 20) for _ in range(2)]
    assert [process.wait(200) for process in both] == [0, 0]
    design = question("grid", 12, 20)
    assert send(store, design).created == 0
    found = export(store)
    assert len(found) == 14
    assert all(sum(map(len, found[m.key]["metrics"].values())) == 40 for m in design.members)


@pytest.mark.nightly
def test_killed_and_taken_up_again(store: str, tmp_path: Path) -> None:
    """kill -9 in the middle of a request, too."""
    path, chance = tmp_path / "mlflow.db", random.Random(0)
    for _ in range(2):
        process, before = mirroring(store, 40, 100), path.stat().st_mtime_ns
        trivial.wait_until(lambda before=before: path.stat().st_mtime_ns != before)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        assert process.wait() == -9, "it had ended before it could be killed"
    design = question("grid", 40, 100)
    send(store, design)
    whole = tracked.store(tmp_path, "whole.db")
    send(whole, design)
    assert dump(export(store)) == dump(export(whole))


def test_killed_at_any_request_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the last request was that arrived: the next pass ends where an undisturbed one does."""
    design = one(question("grid", 2, 3), artifacts={"run.md": b"text"})
    calls = (
        "create_run",
        "log_batch",
        "log_artifacts",
        "set_terminated",
        "set_tag",
        "delete_run",
        "set_experiment_tag",
    )
    place, whole = tmp_path / "artifacts", tracked.store(tmp_path, "whole.db")
    number = counted(monkeypatch, calls, math.inf, whole, design, place)
    expected = dump(export(whole))
    assert number > 10
    for last in range(number):
        store = tracked.store(tmp_path, f"{last}.db")
        assert counted(monkeypatch, calls, last, store, design, place) == last
        send(store, design, artifacts=place)
        assert dump(export(store)) == expected, f"killed after request {last}"


class Killed(BaseException):
    pass


def counted(
    monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...], last: float, store: str, design: Question, place: Path
) -> int:
    """Send a design until so many requests have arrived. How many have."""
    from mlflow import MlflowClient

    count = 0

    def wrapped(original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            if count == last:
                raise Killed
            count += 1
            return original(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(MlflowClient, name, wrapped(getattr(MlflowClient, name)))
        with suppress(Killed):
            send(store, design, artifacts=place)
    return count


def test_many_points_and_many_children(store: str) -> None:
    long = Question("long", [Experiment(run("0123456789ab/long", {"loss": [float(i) for i in range(10_000)]}))])
    wide = question("wide", 300, 1, metrics=1, params=2)
    send(store, long, wide)
    report = send(store, long, wide)
    assert (report.created, report.updated) == (0, 0)
    client = tracked.sink(store).client
    runs = client.search_runs(["1"], "tags.`dvc.exp.id` LIKE '%'", max_results=1000)
    assert len(runs) == 301
    (found,) = [each for each in runs if each.data.tags["dvc.exp.id"] == "0123456789ab/long"]
    history = client.get_metric_history(found.info.run_id, "loss")
    assert sorted(point.step for point in history) == list(range(10_000))


def test_values_that_mlflow_would_refuse(store: str) -> None:
    curves = {
        "metrics/mAP50(B)": [1.0],
        "metrics/mAP50B": [2.0],
        "lr@x/../y": [3.0],
        "n" * 300: [4.0],
        "nan": [math.nan],
    }
    send(
        store, Question("odd", [Experiment(run("0123456789ab/odd", curves, params={"empty": "", "long": "x" * 6000}))])
    )
    found = export(store)["0123456789ab/odd"]
    values = {name: points[0][2] for name, points in found["metrics"].items()}
    assert len(values) == 5
    assert values["metrics/mAP50B"] == "2.0", "the one that is really called so keeps its name"
    assert sorted(values.values()) == ["1.0", "2.0", "3.0", "4.0", "nan"]
    assert max(map(len, values)) == 250
    assert found["params"] == {"empty": "", "long": "x" * 6000}


def test_a_read_only_store(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    send(store, question("grid", 1, 1))
    read_only = f"{store}?mode=ro&uri=true".replace("sqlite:///", "sqlite:///file:")
    with pytest.raises(Trouble, match="can't be written") as caught:
        send(read_only, question("grid", 2, 1))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err == "", "MLflow itself would show a traceback"


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Trouble) as caught:
        send(f"http://someone:hush-hush@127.0.0.1:{tracked.free_port()}", question("grid", 1, 1))
    assert str(caught.value).endswith("does not answer")
    assert "hush-hush" not in str(caught.value)


def test_artifacts_that_cannot_be_written(store: str, tmp_path: Path) -> None:
    """The figures are there all the same, and when the folder can be written, so are the artifacts."""
    place = tmp_path / "artifacts"
    place.write_text("a file is where the folder should be: nothing can be written")
    design = one(question("grid", 2, 2), artifacts={"run.md": b"text"})
    (problem,) = send(store, design, artifacts=place).problems
    assert problem.startswith("the artifacts of grid-0 were not taken: ")
    assert str(place) in problem
    found = tracked.sink(store).client.search_runs(["1"], "tags.`dvc.exp.id` LIKE '%'")
    assert [(each.info.status, len(each.data.metrics)) for each in found] == [("FINISHED", 2)] * 2
    place.unlink()
    send(store, design, artifacts=place)
    assert export(store)["0123456789ab/grid-0"]["artifacts"] == ["run.md"]


def test_prune_finds_what_has_no_experiment(store: str) -> None:
    send(store, question("grid", 3, 1), question("old", 1, 1))
    target = tracked.sink(store)
    target.begin()
    gone = target.gone([question("grid", 2, 1)])
    assert sorted(gone.values()) == [
        "grid: grid-2 (0123456789ab/grid-2)",
        "old: old-0 (0123456789ab/old-0)",
        "old: the design itself",
    ]
    target.delete(gone)
    assert set(export(store)) == {"views", "grid", "0123456789ab/grid-0", "0123456789ab/grid-1"}


def test_a_clock_that_went_back(store: str, tmp_path: Path) -> None:
    """Between two runs, and between two epochs of one: the design's run still starts with the first of its own."""
    design = question("grid", 2, 3)
    send(store, design)
    hour, made = 3_600_000, design.members[1].made
    late = [point if point.step == 0 else point._replace(time=point.time - hour) for point in made.points]
    early = replace(made, key="0123456789ab/early", name="early", start=made.start - hour, points=late)
    early = replace(early, tags=made.tags | {"dvc.exp.id": early.key, "dvc.exp.name": "early"})
    later = replace(design, members=[*design.members, Experiment(early)])
    assert send(store, later).messages == []
    assert send(store, later).updated == 0
    found = export(store)
    assert len(found) == 5  # the views, the design, its runs
    assert found["grid"]["info"][2] == early.start
    assert {found[member.key]["tags"]["mlflow.parentRunId"] for member in later.members} == {"grid"}
    assert [time for _, time, _ in found[early.key]["metrics"]["val/m0"]] == [p.time for p in late if p.key == "val/m0"]
    again = tracked.store(tmp_path, "again.db")
    send(again, later)
    assert dump(export(again)) == dump(found)
