"""What every sink has to do, as tests for pytest, and made-up designs to send. A sink of one's own passes them so:

class TestMySink(SinkConformance):
    def open(self, folder: Path) -> Sink:
        return MySink(folder)

    def stored(self, folder: Path) -> list[Stored]:
        return [...]  # read by the store's own means
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.tracking import text
from lab.tracking.run import Point, Run
from lab.tracking.sink import Design, Report, Sink

START = 1_700_000_000_000
BASELINE = "0123456789ab"


@dataclass(frozen=True)
class Experiment:
    """A `sink.Member` without any experiment behind it."""

    made: Run
    revision: str = ""

    @property
    def key(self) -> str:
        return self.made.key

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.made).encode()).hexdigest()

    def run(self) -> Run:
        return self.made


@dataclass(frozen=True)
class Question:
    """A `sink.Design` without any design behind it."""

    key: str
    members: Sequence[Experiment] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr([self.key, [member.digest for member in self.members]]).encode()).hexdigest()

    @property
    def start(self) -> int:
        return min(member.made.start for member in self.members)

    def parent(self, ids: Mapping[str, str]) -> Run:
        tags = {"design.id": self.key, "best.run_id": ids[self.members[0].key], "best.arm": "arm-1"}
        return Run(
            self.key,
            self.key,
            "FINISHED",
            self.start,
            self.start + 1000,
            tags=tags,
            note="**Best: it**",
            metrics=["val/m0"],
            factors=["p0"],
        )


def run(key: str, curves: Mapping[str, list[float]] | None = None, **more: Any) -> Run:
    """A run; `curves` are values by name, a step each, a second apart."""
    start = more.pop("start", START)
    names = text.names(curves or {})
    points = [
        Point(names[name], values[step], start + 1000 * (step + 1), step)
        for step in range(max((len(values) for values in (curves or {}).values()), default=0))
        for name, values in (curves or {}).items()
        if step < len(values)
    ]
    tags = {"dvc.exp.id": key, "dvc.exp.name": key.partition("/")[2], **more.pop("tags", {})}
    defaults = {"status": "FINISHED", "end": start + 60_000, "params": {"lr": "0.1"}}
    return Run(key=key, name=tags["dvc.exp.name"], start=start, points=points, tags=tags, **(defaults | more))


def question(key: str, number: int, steps: int, metrics: int = 2, params: int = 3) -> Question:
    """A design of so many runs, with so many params and curves of so many steps each."""
    return Question(
        key,
        [
            Experiment(
                run(
                    f"{BASELINE}/{key}-{i}",
                    {f"val/m{k}": [i + k + step / 7 for step in range(steps)] for k in range(metrics)},
                    start=START + 1000 * i,
                    params={f"p{k}": str(i + k) for k in range(params)},
                    tags={"design": key, "arm": f"arm-{i % 2}", "seed": str(i)},
                )
            )
            for i in range(number)
        ],
    )


def one(design: Question, **changes: Any) -> Question:
    """The design with its first run changed."""
    first, *rest = design.members
    return replace(design, members=[replace(first, made=replace(first.made, **changes)), *rest])


@dataclass(frozen=True)
class Stored:
    """A run as a store has it: `points` are (metric, step, value) in any order; of a design's run `key` is its name."""

    key: str
    name: str
    has_failed: bool
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[tuple[str, int, float]]
    artifacts: Mapping[str, bytes]


class Interrupted(BaseException):
    """A mirror that is killed."""


@dataclass(frozen=True)
class Deadly(Experiment):
    """An experiment at which the mirror is killed."""

    def run(self) -> Run:
        raise Interrupted


class SinkConformance:
    """The tests; a subclass says how a sink in an empty folder is opened, and what its store has."""

    def open(self, folder: Path) -> Sink:
        """A sink whose runs are kept in a folder: the same store again for the same folder."""
        raise NotImplementedError

    def stored(self, folder: Path) -> list[Stored]:
        """The runs that are there, in any order."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    def send(self, folder: Path, *designs: Design) -> Report:
        """One pass."""
        sink, report = self.open(folder), Report()
        sink.begin()
        for design in designs:
            if not sink.has(design):
                report += sink.send(design)
        return report

    def runs(self, folder: Path) -> dict[str, Stored]:
        """What is there, by key."""
        runs = self.stored(folder)
        keys = [run.key for run in runs]
        assert len(set(keys)) == len(keys), "two runs of one key"
        return dict(zip(keys, runs, strict=True))

    def test_it_says_where(self, folder: Path) -> None:
        sink = self.open(folder)
        assert sink.name
        assert sink.place
        assert "\n" not in sink.place

    def test_a_design_with_its_experiments(self, folder: Path) -> None:
        design = question("grid", 2, 3)
        report = self.send(folder, design)
        assert (report.created, report.messages, report.problems) == (3, [], [])
        runs = self.runs(folder)
        assert set(runs) == {"grid", f"{BASELINE}/grid-0", f"{BASELINE}/grid-1"}
        child = runs[f"{BASELINE}/grid-1"]
        assert (child.name, child.has_failed) == ("grid-1", False)
        assert child.params == {"p0": "1", "p1": "2", "p2": "3"}
        assert design.members[1].made.tags.items() <= child.tags.items()
        expected = [(f"val/m{k}", step, 1 + k + step / 7) for step in range(3) for k in range(2)]
        assert sorted(child.points) == sorted(expected)
        assert runs["grid"].tags["best.arm"] == "arm-1"
        assert runs["grid"].tags["best.run_id"], "a design's run is told the ids of its experiments"

    def test_the_next_pass_knows_what_is_there(self, folder: Path) -> None:
        design = question("grid", 2, 2)
        before = self.open(folder)
        before.begin()
        assert not before.has(design)
        self.send(folder, design)
        after = self.open(folder)
        after.begin()
        assert after.has(design)
        assert not after.has(one(design, status="FAILED"))
        assert self.open(folder).state() == after.state(), "to look changes nothing"

    def test_sent_again_it_is_the_same(self, folder: Path) -> None:
        design = question("grid", 2, 3)
        self.send(folder, design)
        before = self.runs(folder)
        sink = self.open(folder)
        sink.begin()
        assert sink.send(design).created == 0
        assert self.runs(folder) == before

    def test_curves_grow(self, folder: Path) -> None:
        design = question("grid", 2, 6)
        points = design.members[0].made.points
        for number in (2, 4, 12):
            running: dict[str, Any] = {"status": "RUNNING", "end": None} if number < len(points) else {}
            assert self.send(folder, one(design, points=points[:number], **running)).messages == []
            assert len(self.runs(folder)[f"{BASELINE}/grid-0"].points) == number

    @pytest.mark.parametrize("change", [{"params": {"p0": "7"}}, {"points": run("x", {"val/m0": [9.0, 8.0]}).points}])
    def test_another_run_of_the_same_name_takes_its_place(self, folder: Path, change: dict[str, Any]) -> None:
        self.send(folder, question("grid", 2, 3))
        changed = one(question("grid", 2, 3), **change)
        self.send(folder, changed)
        runs, made = self.runs(folder), changed.members[0].made
        assert len(runs) == 3
        assert runs[made.key].params == made.params
        assert sorted(runs[made.key].points) == sorted((point.key, point.step, point.value) for point in made.points)

    def test_a_failed_run(self, folder: Path) -> None:
        self.send(folder, one(question("grid", 2, 1), status="FAILED"))
        assert {key: run.has_failed for key, run in self.runs(folder).items() if key != "grid"} == {
            f"{BASELINE}/grid-0": True,
            f"{BASELINE}/grid-1": False,
        }

    def test_artifacts(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """From memory, and files of DVC's cache; new ones replace them."""
        cached = tmp_path_factory.mktemp("cache") / "0a1b2c"
        cached.write_bytes(b"weights")
        design = question("grid", 1, 1)
        self.send(folder, one(design, artifacts={"run.md": b"# It", "weights/it.bin": cached}))
        there = self.runs(folder)[f"{BASELINE}/grid-0"].artifacts
        assert {"run.md": b"# It", "weights/it.bin": b"weights"}.items() <= there.items()
        self.send(folder, one(design, artifacts={"run.md": b"# It now"}))
        assert self.runs(folder)[f"{BASELINE}/grid-0"].artifacts["run.md"] == b"# It now"

    def test_killed_and_taken_up_again(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        design, whole = question("grid", 3, 2), tmp_path_factory.mktemp("whole")
        first, second, third = design.members
        with pytest.raises(Interrupted):
            self.send(folder, replace(design, members=[first, Deadly(second.made), third]))
        self.send(folder, design)
        self.send(whole, design)
        runs, undisturbed = self.runs(folder), self.runs(whole)
        assert set(runs) == set(undisturbed)
        assert all(sorted(runs[m.key].points) == sorted(undisturbed[m.key].points) for m in design.members)

    def test_what_has_no_experiment_is_found_and_deleted(self, folder: Path) -> None:
        self.send(folder, question("grid", 3, 1), question("old", 1, 1))
        sink = self.open(folder)
        sink.begin()
        assert sink.gone([question("grid", 3, 1), question("old", 1, 1)]) == {}
        gone = sink.gone([question("grid", 2, 1)])
        assert len(gone) == 3
        assert all("grid-2" in name or "old" in name for name in gone.values())
        sink.delete(gone)
        assert set(self.runs(folder)) == {"grid", f"{BASELINE}/grid-0", f"{BASELINE}/grid-1"}
