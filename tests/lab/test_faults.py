"""The table of faults: whatever is killed or happens at a random moment, the same command again ends as if undisturbed.

Each round is one fault in a project of its own, by its number: a round that failed is repeated by FAULT_FIRST=NUMBER
FAULT_ROUNDS=1. FAULT_LOG names a file to which each round is added and from which a run goes on.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import answered
import psutil
import pytest
import tracked
import trivial
import yaml
from trivial import Trivial

from lab.execution.dvc import own_workers

ROUNDS = 200
RUN = ("run", "designs/small.yaml", "-j", "2", "--force")
COMMANDS: dict[str, tuple[str, ...]] = {
    "lab": RUN,
    "worker": RUN,
    "exec-run": (*RUN, "--workers", "dvc"),
    "stage": RUN,
    "git gc": RUN,
    "full disk": RUN,
    "mirror": ("mirror", "small"),
    "report": ("report", "small"),
    "review": ("review", "small"),
    "promote": ("promote", "small"),
}
FAULTS = tuple(COMMANDS)
DISK = "192m"  # holds the project, its environment's notes and all that the runs make
COLUMNS = ("fault", "tried", "in time", "survived", "lost", "doubled", "processes left")


@dataclass
class Outcome:
    """What a round ended with: what is missing or other than undisturbed, what is there too much, what still runs.

    `in_time` says whether the command still ran when the fault began.
    """

    number: int
    fault: str
    in_time: bool = False
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    said: str = ""
    seconds: float = 0.0

    @property
    def has_survived(self) -> bool:
        return not (self.lost or self.doubled or self.left or self.said)


@dataclass(frozen=True)
class Undisturbed:
    """A project before a command, what it ends with, and the seconds that this takes."""

    before: Path
    ends: dict[str, Any]
    seconds: float


# The projects


def fresh(root: Path) -> Trivial:
    """One whose design is to run: two arms, two seeds."""
    project = trivial.make(root)
    answered.design(project, "small", 0.5, 0.1)
    return project


def ran(root: Path) -> Trivial:
    """One whose design has run, with MLflow's own file for a mirror."""
    project = trivial.make(root)
    script = project.root / "src" / "stand_in.py"
    script.write_text(script.read_text().replace(answered.MEASURED, answered.NOISY))
    (project.root / "conf" / "tracking.yaml").write_text("experiment: trivial\nbackends: [mlflow]\n")
    (project.root / ".gitignore").open("a").write("/mlflow.db*\n/mlartifacts/\n")
    answered.design(project, "small", 0.5, 0.1)
    trivial.carry_out(project, "small", answered.measured)
    tracked.store(project.root)
    return project


def start(project: Trivial, fault: str) -> subprocess.Popen[str]:
    """The command that a fault hits."""
    command = [sys.executable, "-m", "lab", *COMMANDS[fault]]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = trivial.environ(TRIVIAL_SLEEP="0.5")
    return subprocess.Popen(command, cwd=project.root, env=environment, start_new_session=True, **pipes)


def ends(project: Trivial, fault: str) -> dict[str, Any]:
    """What a command has made, by name: what an undisturbed one makes is the same."""
    if COMMANDS[fault][0] == "run":
        return {name: [record.status, record.metrics] for name, record in project.records().items()}
    if fault == "mirror":
        return tracked.export(f"sqlite:///{project.root / 'mlflow.db'}", "trivial")
    if fault == "report":
        folder = project.root / "docs" / "04-report"
        return {str(path.relative_to(folder)): path.suffix != ".md" or path.read_text() for path in folder.rglob("*.*")}
    if fault == "review":
        listed = project.call("git", "ls-tree", "-r", "exp/small").stdout.splitlines()
        files = dict(reversed(line.split("\t")) for line in listed)
        commits = project.call("git", "rev-list", "--count", "exp/small").stdout
        return {"commits": commits, **{path: path.endswith((".html", ".png", ".svg")) or files[path] for path in files}}
    said = yaml.safe_load((project.root / "models" / "champion" / "champion.yaml").read_text())
    files = [str(path) for path in sorted((project.root / "models" / "champion").rglob("*")) if path.is_file()]
    names = [str(Path(path).relative_to(project.root)) for path in files]
    commits = project.call("git", "rev-list", "--count", "HEAD").stdout
    return {"said": {**said, "promoted": ""}, "commits": commits, **dict.fromkeys(names, True)}


# The faults


def strike(project: Trivial, fault: str, process: subprocess.Popen[str], chance: random.Random, seconds: float) -> bool:
    """Let the fault happen at a random moment of those in which the command runs. Whether it still ran then."""
    seconds *= 0.6 if fault == "exec-run" else 1.0  # later on none is left, and DVC's workers wait for more
    until = time.monotonic() + chance.uniform(0, seconds)
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    in_time = process.poll() is None
    if fault == "git gc":
        project.call("git", "reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all", check=False)
        project.call("git", "gc", "--quiet", "--prune=now", check=False)
    elif fault == "full disk":
        fill(project.root.parent / "full", chance.uniform(1, 5))
    elif fault in ("worker", "exec-run", "stage"):
        while process.poll() is None:
            with suppress(psutil.Error):
                if found := victims(project, fault):
                    chance.choice(found).kill()
                    return True
            time.sleep(0.05)
        return False
    else:
        process.kill()
    return in_time


def victims(project: Trivial, fault: str) -> list[psutil.Process]:
    """The processes of a kind that work for the project."""
    if fault == "worker":
        return [psutil.Process(worker.pid) for worker in own_workers.alive(project.root)]
    word = {"exec-run": "exec-run", "stage": "stand_in.py"}[fault]
    return [process for process in inside(project) if word in " ".join(process.info["cmdline"] or [])]


def inside(project: Trivial) -> list[psutil.Process]:
    """All processes that work in the project."""
    place = str(project.root)
    return [each for each in psutil.process_iter(["cmdline", "cwd"]) if (each.info["cwd"] or "").startswith(place)]


def fill(path: Path, seconds: float) -> None:
    """Let a disk be full for a while."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    time.sleep(seconds)
    path.unlink(missing_ok=True)


def round_of(number: int, undisturbed: Undisturbed, folder: Path) -> Outcome:
    """One round in an empty folder: the command, the fault, the command again, and what has come of it."""
    begun, fault, chance = time.monotonic(), FAULTS[number % len(FAULTS)], random.Random(number)
    outcome = Outcome(number, fault)
    project = Trivial(Path(shutil.copytree(undisturbed.before, folder, symlinks=True, dirs_exist_ok=True)) / "project")
    process = start(project, fault)
    try:
        outcome.in_time = strike(project, fault, process, chance, undisturbed.seconds)
        process.communicate(timeout=400)
        process = start(project, fault)
        said = process.communicate(timeout=400)[0]
        if process.returncode != 0 and "is the champion already" not in said:
            outcome.said = f"{process.returncode}: {said[-1500:]}"
        found, expected = ends(project, fault), undisturbed.ends
        outcome.lost = [name for name in expected if found.get(name) != expected[name]]
        outcome.doubled = sorted(found.keys() - expected.keys())
    except Exception as error:  # a round that breaks off is one that was not survived; the table is shown all the same
        outcome.said = f"{outcome.said} {type(error).__name__}: {error}"[:3000]
    outcome.left = left(project)
    outcome.seconds = round(time.monotonic() - begun, 1)
    return outcome


def left(project: Trivial) -> list[str]:
    """The processes that don't end within a minute, which are ended then."""
    with suppress(AssertionError):
        trivial.wait_until(lambda: not inside(project), 60)
    stubborn = inside(project)
    for each in stubborn:
        with suppress(psutil.Error):
            each.kill()
    return [" ".join(each.info["cmdline"] or [])[-200:] for each in stubborn]


def on_a_small_disk(number: int, undisturbed: Undisturbed, folder: Path) -> Outcome:
    """The round in a name space of its own, in which `folder` is a disk of its own."""
    folder.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size={DISK} none "$0" && exec "$@"'
    code = "import sys, test_faults; test_faults.inner(*sys.argv[1:])"
    known = json.dumps({**asdict(undisturbed), "before": str(undisturbed.before)})
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder), sys.executable, "-c", code]
    done = subprocess.run(
        [*command, str(number), known, str(folder)], env=tracked.environment(), capture_output=True, text=True
    )
    if done.returncode != 0:
        return Outcome(number, FAULTS[number % len(FAULTS)], said=done.stderr[-1500:])
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def inner(number: str, known: str, folder: str) -> None:
    """What happens in that name space."""
    values = json.loads(known)
    undisturbed = Undisturbed(Path(values["before"]), values["ends"], values["seconds"])
    print(json.dumps(asdict(round_of(int(number), undisturbed, Path(folder)))))


# The table


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    """By fault what its command ends with where nothing happens."""
    bases: dict[Any, Path] = {}
    for make in (fresh, ran):
        bases[make] = tmp_path_factory.mktemp(make.__name__)
        make(bases[make] / "project")
    known: dict[tuple[str, ...], Undisturbed] = {}
    for fault, command in COMMANDS.items():
        if command not in known:
            before = bases[fresh if command[0] == "run" else ran]
            folder = tmp_path_factory.mktemp("undisturbed")
            project = Trivial(Path(shutil.copytree(before, folder, symlinks=True, dirs_exist_ok=True)) / "project")
            begun = time.monotonic()
            process = start(project, fault)
            said = process.communicate(timeout=400)[0]
            assert process.returncode == 0, f"{fault}: {said}"
            seconds = time.monotonic() - begun
            known[command] = Undisturbed(before, json.loads(json.dumps(ends(project, fault))), seconds)
            assert left(project) == []
    return {fault: known[command] for fault, command in COMMANDS.items()}


def rounds(undisturbed: dict[str, Undisturbed], folder: Path) -> Iterator[Outcome]:
    """The rounds that are asked for; those of a log are not repeated."""
    log = Path(os.environ.get("FAULT_LOG", folder / "faults.jsonl"))
    done = [Outcome(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []
    first = int(os.environ.get("FAULT_FIRST", 0))
    for number in range(first, first + int(os.environ.get("FAULT_ROUNDS", ROUNDS))):
        outcome = next((each for each in done if each.number == number), None)
        if outcome is None:
            fault = FAULTS[number % len(FAULTS)]
            play = on_a_small_disk if fault == "full disk" else round_of
            outcome = play(number, undisturbed[fault], folder / str(number))
            with log.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            shutil.rmtree(folder / str(number), ignore_errors=True)
        yield outcome


def table(outcomes: list[Outcome]) -> str:
    """A line for each fault, and what was not survived."""
    rows = [COLUMNS]
    for fault in (*FAULTS, "all"):
        of_it = [each for each in outcomes if fault in (each.fault, "all")]
        counts = [sum(len(getattr(each, name)) for each in of_it) for name in ("lost", "doubled", "left")]
        happened = [sum(each.in_time for each in of_it), sum(each.has_survived for each in of_it)]
        rows.append((fault, *map(str, [len(of_it), *happened, *counts])))
    lines = ["  ".join(f"{value:>14}" for value in row) for row in rows]
    return "\n".join([*lines, *(f"{asdict(each)}" for each in outcomes if not each.has_survived)])


@pytest.mark.nightly
def test_every_fault_is_survived(
    undisturbed: dict[str, Undisturbed], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = list(rounds(undisturbed, tmp_path))
    shown = table(outcomes)
    with capfd.disabled():
        print(f"\n{shown}", flush=True)
    assert all(each.has_survived for each in outcomes), shown
