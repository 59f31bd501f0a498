"""While runs go on: when they will be over, by recorded trainings, and what stands on a terminal of 80 columns."""

from __future__ import annotations

import http.client
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import studies
from contracts import VISION
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from lab.cli import live, live_page, output, view
from lab.cli.terminal import Name
from lab.cli.watch import Watch
from lab.design import design_file
from lab.design.plan import Run
from lab.execution.forecast import Forecast, Usual, usual
from lab.study import FAILED, FINISHED, QUEUED, RUNNING, Point, Replicate

JOURNALS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "journals.json").read_text())
ALONE = ["classification_baseline", "detection_alone"]  # one run at a time, with the begin of its epochs
JOBS = dict.fromkeys(JOURNALS, 2) | dict.fromkeys(ALONE, 1)  # how many ran at a time
RUNS = JOURNALS["classification_augmentation"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BEGAN = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


@dataclass
class Recorded:
    """A run as it was at a moment, by what was noted of it: `times` are seconds since the first was taken."""

    name: str
    arm: str
    status: str
    taken: float
    started: datetime | None
    curves: dict[str, list[Point]]
    log: Path
    params: dict[str, Any]
    effective: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    reason: str = ""
    epochs_began: datetime | None = None

    @property
    def pending(self) -> Any:
        return SimpleNamespace(taken=self.taken, log=self.log, node="") if self.status == RUNNING else None

    def value(self, metric: str) -> float | None:
        return self.score if self.status == FINISHED and metric == "infer.f1_macro" else None

    def reaches(self, stage: str) -> bool:
        return True


def moment(runs: list[dict[str, Any]], at: float, folder: Path) -> list[Replicate]:
    """How recorded runs stood, so many seconds after the first of them was taken."""
    replicates = []
    for run in runs:
        status = QUEUED if at < run["taken"] else RUNNING if at < run["ended"] else FINISHED
        begun = [name for name, second in run["stages"].items() if second <= at]
        log = folder / f"{run['name']}.log"
        log.write_text("".join(f"Running stage '{name}':\n" for name in begun))
        is_training = bool(begun) and begun[-1] == "train" and run["training"] <= at
        ends = [end for end in run["epochs"] if end <= at] if is_training else []
        points = [Point(i, time_of(end), 0.5 + i / 100) for i, end in enumerate(ends)]
        params = {"training": {"max_epochs": run["most"]}}
        started = time_of(run["training"] if is_training else run["taken"])
        record = Recorded(
            run["name"],
            run["arm"],
            status,
            BEGAN + run["taken"],
            started,
            {"val/f1_macro": points} if points else {},
            log,
            params,
            noted(run) if status == FINISHED else {},
            score=run["score"],
            epochs_began=time_of(run["began"]) if is_training and run.get("began", at + 1) <= at else None,
        )
        plan = Run(run["name"], run["arm"], {}, run["seed"], 0, 0, [], params, "infer", "")
        replicates.append(Replicate(run["arm"], {}, run["seed"], record if status != QUEUED else None, run=plan))
    return replicates


def noted(run: dict[str, Any]) -> dict[str, Any]:
    """What the stages of a run that has finished noted."""
    train, infer = (run["stages"][stage] + run["seed"] / 1000 for stage in ("train", "infer"))  # no two at once
    rows = [{"epoch": epoch, "ended": time_of(end).isoformat()} for epoch, end in enumerate(run["epochs"])]
    return {
        "train": {"started": time_of(train).isoformat(), "seconds": infer - train, "used": {"epochs": rows}},
        "infer": {"started": time_of(infer).isoformat(), "seconds": run["ended"] - infer},
    }


def time_of(second: float) -> datetime:
    return datetime.fromtimestamp(BEGAN + second, UTC)


def design(**more: Any) -> Any:
    content = {"kind": "comparison", "type": "train", "title": "Which rate is best?", "name": "rates", "seeds": [0, 1]}
    content["hypothesis"] = studies.hypothesis(arm="b", versus="a")
    content["comparison"] = {"values": {"a": "lr=0.1", "b": "lr=0.2"}}
    return design_file.parse(content | more, VISION)


# When it will be over


def looks(
    runs: list[dict[str, Any]], folder: Path, jobs: int, earlier: Usual | None = None
) -> Iterator[tuple[float, Any, float]]:
    """Every four seconds: the time, what is left by the forecast, and what was left indeed."""
    forecast, end = Forecast(VISION, jobs, earlier or Usual()), max(run["ended"] for run in runs)
    for at in range(0, int(end), 4):
        replicates = moment(runs, at, folder)
        forecast.look(replicates, BEGAN + at)
        yield at, forecast.seconds(replicates, BEGAN + at), end - at


def known_by(runs: list[dict[str, Any]]) -> Usual:
    """What these runs tell of later ones, as their records do."""
    notes = [SimpleNamespace(status=FINISHED, effective=noted(run), reaches=lambda stage: True) for run in runs]
    return usual(notes, VISION, "infer")


def shifted(run: dict[str, Any], by: float) -> dict[str, Any]:
    """A recorded run as if all had begun so much later."""
    stages = {name: second - by for name, second in run["stages"].items()}
    moved = {key: run[key] - by for key in ("taken", "training", "began", "ended") if key in run}
    return {**run, **moved, "stages": stages, "epochs": [end - by for end in run["epochs"]]}


def test_a_third_into_the_first_run_the_end_is_known_to_a_quarter(tmp_path: Path) -> None:
    """Plans of four runs like a recorded one, after one of its kind; before, with what its own epochs tell."""
    for one in [run for runs in JOURNALS.values() for run in runs]:
        like = shifted(one, one["taken"])
        third = like["ended"] / 3
        if like["training"] > third:  # on a machine so busy that it had hardly started
            continue
        plan = [{**shifted(like, -i * like["ended"]), "name": str(i)} for i in range(4)]
        _, told, true = next(look for look in looks(plan, tmp_path, 1, known_by([one])) if look[0] >= third)
        assert told is not None and abs(told - true) <= 0.25 * true, (one["name"], told, true)


@pytest.mark.parametrize("name", JOURNALS)
def test_recorded_plans_end_when_it_is_said_after_their_first_run(name: str, tmp_path: Path) -> None:
    """On a machine whose load went up and down by a factor of three: to a quarter of the whole."""
    runs, jobs = JOURNALS[name], JOBS[name]
    first, whole = min(run["ended"] for run in runs), max(run["ended"] for run in runs)
    found = [(told, true) for at, told, true in looks(runs, tmp_path, jobs) if at >= first]
    assert all(told is not None and abs(told - true) <= 0.25 * whole for told, true in found), found
    assert next(looks(runs, tmp_path, jobs))[1] is None, "before the first epoch nobody knows, without earlier runs"


@pytest.mark.parametrize("name", ALONE)
def test_a_first_plan_s_end_is_known_once_an_epoch_has_ended(name: str, tmp_path: Path) -> None:
    """Nothing ran before: to a quarter of the whole, since the training notes when its first epoch began."""

    def worst(runs: list[dict[str, Any]]) -> float:
        one, whole = runs[0], runs[-1]["ended"]
        found = [(told, true) for at, told, true in looks(runs, tmp_path, 1) if one["epochs"][0] <= at < one["ended"]]
        return max(abs((told or 0.0) - true) for told, true in found) / whole

    runs = JOURNALS[name]
    silent = [{key: of for key, of in run.items() if key != "began"} for run in runs]
    assert worst(runs) <= 0.25 and worst(runs) < worst(silent)


def test_a_training_that_goes_on_counts_the_epochs_since_then(tmp_path: Path) -> None:
    """It has the epochs of before in its log, which ended an hour earlier."""
    one = shifted(JOURNALS["detection_alone"][0], 0)
    before = [end - 3600 for end in one["epochs"][:2]]
    for at, least in ((one["began"] + 1, None), (one["epochs"][2] + 1, 60.0)):
        [replicate] = moment([{**one, "epochs": [*before, *one["epochs"][2:]]}], at, tmp_path)
        left = Forecast(VISION, 1).left(replicate.record, BEGAN + at)
        assert left is None if least is None else left is not None and least < left < 600


def test_waves_come_one_after_the_other_and_jobs_beside_each_other() -> None:
    def run(arm: str, wave: int) -> Replicate:
        plan = Run(f"{arm}{wave}", arm, {}, 0, 0, wave, [], {"training": {"max_epochs": 10}}, "infer", "")
        return Replicate(arm, {}, 0, None, run=plan)

    earlier = Usual({"train": 50.0, "infer": 4.0}, epoch=6.0)  # of other numbers of epochs
    first, later = [run(arm, 0) for arm in "abcd"], [run(arm, 1) for arm in "abcd"]
    assert Forecast(VISION, 1, earlier).seconds(first, BEGAN) == 4 * 64
    assert Forecast(VISION, 2, earlier).seconds(first, BEGAN) == 2 * 64
    assert Forecast(VISION, 3, earlier).seconds([*first, *later], BEGAN) == 2 * 64 + 2 * 4, "the stages are shared"


def test_runs_that_are_still_chosen_count(tmp_path: Path) -> None:
    """Of a bayesian sweep of five arms, two chosen at a time: what is left is that of all of them."""
    content = {"kind": "sweep", "type": "train", "title": "Which pair is best?", "name": "pairs", "seeds": [0, 1, 2]}
    sweep = {"strategy": "bayesian", "max_runs": 5, "parallel": 2, "parameters": {"lr": {"low": 0.1, "high": 1.0}}}
    searching = design_file.parse({**content, "hypothesis": studies.hypothesis(expected=0.9), "sweep": sweep}, VISION)
    runs = [replace(each, arm=str(i // 3)) for i, each in enumerate(pending(6))]
    earlier = Usual({"train": 50.0, "infer": 10.0})
    assert Forecast(VISION, 2, earlier, searching).seconds(runs, BEGAN) == 60 * (3 + 3 + 2)
    assert Forecast(VISION, 2, earlier).seconds(runs, BEGAN) == 60 * 3


def pending(number: int) -> list[Replicate]:
    """Runs of which nothing is there yet."""
    params = {"training": {"max_epochs": 10}}
    plans = [Run(f"run{i}", "a", {}, i, 0, 0, [], params, "infer", "") for i in range(number)]
    return [Replicate("a", {}, plan.seed, None, run=plan) for plan in plans]


@pytest.mark.parametrize("name", JOURNALS)
def test_who_looks_for_the_first_time_knows_it_as_well(name: str, tmp_path: Path) -> None:
    """As `lab status` does: by what the records of the runs that have ended say, to a quarter of the whole."""
    runs, whole = JOURNALS[name], max(run["ended"] for run in JOURNALS[name])
    for at in range(int(min(run["ended"] for run in runs)) + 1, int(whole), 12):
        forecast, replicates = Forecast(VISION, JOBS[name]), moment(runs, at, tmp_path)
        forecast.look(replicates, BEGAN + at)
        told = forecast.seconds(replicates, BEGAN + at)
        assert told is not None and abs(told - (whole - at)) <= 0.25 * whole, (at, told, whole - at)


# What is shown


def shown(place: Console) -> str:
    return place.file.getvalue()  # type: ignore[attr-defined]


def terminal(width: int, height: int = 30) -> Console:
    return Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())


@pytest.mark.parametrize("width", [80, 120])
def test_what_runs_and_where_the_arms_stand(width: int, tmp_path: Path) -> None:
    clock = [BEGAN]
    place = terminal(width)
    watch = Watch(place, design(), VISION, 1, link="in MLflow: lab ui", clock=lambda: clock[0])
    end = max(run["ended"] for run in RUNS)
    for at in (0.0, 0.6 * end, 0.8 * end):
        clock[0] = BEGAN + at
        watch(moment(RUNS, at, tmp_path))
    place.print(watch.picture(moment(RUNS, 0.8 * end, tmp_path), clock[0]))
    text = shown(place)
    assert "Which rate is best?" in text and "in MLflow: lab ui" in text and "to go" in text
    assert "train " in text and " left" in text and "macro-F1" in text and "━" in text
    assert any("a" in line and "2/2" in line and "[" in line for line in text.splitlines()), "a mean with its interval"
    assert all(len(line) <= width for line in text.splitlines())


def test_a_low_terminal_has_room_for_what_runs_and_for_the_end(tmp_path: Path) -> None:
    """Live cuts the end of what is too long: of the arms, whose names may take several lines."""
    place, at = terminal(60, height=12), 0.8 * max(run["ended"] for run in RUNS)
    names = {run["arm"]: ",".join([run["arm"], *(f"training.optimizer.lr_{i}=0.01" for i in range(4))]) for run in RUNS}
    with Watch(place, design(), VISION, 1, clock=lambda: BEGAN + at) as watch:
        watch(moment([{**run, "arm": names[run["arm"]]} for run in RUNS], at, tmp_path))
    assert "to go" in shown(place)


def test_names_of_arms_end_their_lines_with_commas() -> None:
    place = terminal(30)
    place.print(Name("augmentation=cutout,lr=0.003,batch_size=16"))
    assert [line.rstrip() for line in shown(place).splitlines()] == ["augmentation=cutout,lr=0.003,", "batch_size=16"]


def test_a_run_that_is_queued_again_is_not_said_to_be_over(tmp_path: Path) -> None:
    place = Console(width=200, color_system=None, file=io.StringIO(), force_terminal=False)
    watch = Watch(place, design(), VISION, 1, clock=lambda: BEGAN)
    [run, *others] = moment(RUNS, 1.0, tmp_path)
    for status, lost in ((RUNNING, []), (FAILED, [run]), (QUEUED, []), (RUNNING, []), (QUEUED, []), (FAILED, [])):
        run.record.status, run.record.reason = status, "train ended with -9" if status == FAILED else ""
        watch([run, *others], lost)
    first, second, last = shown(place).splitlines()
    assert first.endswith(": waits again (train ended with -9)")
    assert second.endswith(": waits again (its worker has gone)")
    assert ": failed (train ended with -9); 1 of " in last


@pytest.mark.parametrize("place", ["a log", "an editor's shell"])
def test_where_nothing_is_drawn_anew_a_line_a_run_that_is_over(place: Any, tmp_path: Path) -> None:
    kind = {"force_terminal": False} if place == "a log" else {"force_terminal": True, "_environ": {"TERM": "dumb"}}
    place = Console(width=200, color_system=None, file=io.StringIO(), **kind)
    clock = [BEGAN]
    with Watch(place, design(), VISION, 1, clock=lambda: clock[0]) as watch:
        for at in range(0, int(max(run["ended"] for run in RUNS)) + 5, 5):
            clock[0] = BEGAN + at
            watch(moment(RUNS, at, tmp_path))
        lost = moment(RUNS, at, tmp_path)[-1]
        lost.record.status, lost.record.reason = FAILED, "train ended with 1: out of memory"
        watch([*moment(RUNS, at, tmp_path)[:-1], lost])
    lines = shown(place).splitlines()
    assert len(lines) == len(RUNS) + 1
    assert "finished (infer.f1_macro 0." in lines[0] and f"; 1 of {len(RUNS)}, about " in lines[0]
    assert "failed (train ended with 1: out of memory)" in lines[-1]


same_beginning = st.tuples(
    st.text("abcdefgh=,._-0123456789", min_size=0, max_size=90), st.text("abc=,_1", min_size=1, max_size=12)
)


@given(st.lists(same_beginning, min_size=2, max_size=4, unique_by=lambda two: two[0] + two[1]))
def test_no_two_arms_look_the_same_at_80_columns(parts: list[tuple[str, str]]) -> None:
    names = [f"augmentation.{parts[0][0]}{start[:2]}{i}{end}" for i, (start, end) in enumerate(parts)]
    replicates = []
    for name in names:
        for seed in (0, 1):
            run = Run(f"20261126_tiny_64_none_{name}_s{seed}", name, {}, seed, seed, 0, [], {}, "infer", "")
            record = Recorded(run.name, name, FINISHED, 0.0, None, {}, Path("log"), {}, score=0.9123 + seed / 1000)
            replicates.append(Replicate(name, {}, seed, record, run=run))
    told = view.by_arm(design(), VISION, replicates)
    assert told is not None
    for table, rows in ((told, names), (view.results(design(), VISION, replicates, 80), [r.arm for r in replicates])):
        assert sorted(first_column(table)) == sorted(rows)


def test_a_search_of_no_stated_task_is_told_by_what_it_measured() -> None:
    study = studies.made("sweep", lambda arm, seed: {"train": {"val_f1_macro": 0.9 + len(arm) / 1000}})
    made = study.design, study.contract, study.replicates
    table = view.results(*made)
    assert [str(column.header) for column in table.columns] == ["arm", "seed", "status", "train.val_f1_macro", "run"]
    metric, arms = view.arms_so_far(*made)
    assert metric == "macro-F1 on the validation split" and len(arms) == len(study.arms)


def first_column(table: Table) -> list[str]:
    """What stands in the first column of a table at 80 columns, each cell's lines put together again."""
    place = terminal(80)
    place.print(table)
    head, *lines = shown(place).splitlines()
    assert all(len(line) <= 80 for line in [head, *lines])
    width = head.index("seed")
    cells: list[str] = []
    for line in lines:
        text, rest = line[:width].rstrip(), line[width:].strip()
        cells = [*cells, text] if rest else [*cells[:-1], cells[-1] + text]
    return cells


# The live page of lab ui


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Recorded runs at four fifths of their time, in two waves, with what they print."""
    folder, end = tmp_path_factory.mktemp("live"), max(run["ended"] for run in RUNS)
    replicates = moment(RUNS, 0.8 * end, folder)
    replicates[-1] = replace(replicates[-1], run=replace(replicates[-1].run, wave=1))
    with next(each.record for each in replicates if each.status == RUNNING).log.open("a") as log:
        log.write("epoch 1\repoch \x1b[32m2\x1b[0m\n")
    records = [SimpleNamespace(status=each.status, experiment={"design": "rates"}) for each in replicates]
    known = live.Known(design(), VISION, replicates, Forecast(VISION, 1, known_by(RUNS[:4])))
    project: Any = SimpleNamespace(look=lambda: False, records=lambda: records)
    state = live.Live(project, {"rates": known}.__getitem__, lambda: {"dvc": 1})
    with mock.patch.object(live.time, "time", lambda: BEGAN + 0.8 * end), live_page.served(state.status, 0) as link:
        yield link


def test_the_live_page_plans_where_runs_are_over_and_reads_the_config_for_another_head() -> None:
    own = [SimpleNamespace(commit="a", status=RUNNING)]
    project: Any = SimpleNamespace(head="first", by_design=lambda: {"rates": own})
    growing = SimpleNamespace(growth=True, name="rates")
    read = mock.Mock(side_effect=lambda name: SimpleNamespace(design=growing, contract=VISION))
    reading = live.Reading(project, read, lambda name: None)
    with mock.patch.object(live, "standings", return_value=[]), mock.patch.object(live, "campaign") as campaign:
        counts = []
        for status, head in [(RUNNING, "first"), (RUNNING, "first"), (FINISHED, "first"), (FINISHED, "second")]:
            own[0].status, project.head = status, head
            assert reading("rates").replicates == []
            counts.append((campaign.current.call_count, read.call_count))
    assert counts == [(1, 1), (1, 1), (2, 1), (3, 2)]


def answer(link: str, path: str, **headers: str) -> tuple[int, str]:
    place = urlsplit(link)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=20)
    connection.request("GET", path, headers=headers)
    found = connection.getresponse()
    return found.status, found.read().decode()


def test_the_live_page_asks_for_what_lab_status_says(page: str) -> None:
    overview = output.Overview.model_validate_json(answer(page, "/status.json")[1])
    assert overview.designs["rates"][RUNNING] == 2
    stand = output.Stand.model_validate_json(answer(page, "/status.json?design=rates")[1])
    at = next(run.at for run in stand.runs if run.at)
    assert (at.stage, at.log[-1]) == ("train", "epoch 2") and 0 < at.epoch < at.epochs
    assert at.seconds and stand.seconds and stand.seconds >= at.seconds
    assert all(arm.low is None or arm.low < arm.mean < (arm.high or 0) for arm in stand.arms) and len(stand.arms) > 1


def test_the_live_page_answers_its_own_machine_alone(page: str) -> None:
    assert answer(page, "/")[0] == 200
    assert answer(page, "/status.json", Host="attacker.example")[0] == 403, "a name that was made to lead here"
    assert answer(page, "/../lab.yaml")[0] == 404


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at a page with (apt install chromium)")
def test_the_live_page_in_a_browser(page: str, tmp_path: Path) -> None:
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", page], capture_output=True, text=True, timeout=200
    )
    text = " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", done.stdout, flags=re.DOTALL).split())
    assert "2 runs under way, 1 worker" in text and "Which rate is best?" in text
    assert re.search(r"wave 1/2: \d finished.*wave 2/2: 1 running.*about 0:\d\d:\d\d to go", text)
    assert re.search(r"seed \d train \d+/\d+ .*f1_macro 0\.\d+ 0:\d\d:\d\d left", text)
    assert re.search(r"arm so far seeds macro-F1 .*\[0\.\d+,&nbsp;[01]\.\d+\]", text)
    assert done.stdout.count("<progress") == 1 and "epoch 2" in text
