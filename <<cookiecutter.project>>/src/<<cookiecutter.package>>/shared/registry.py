"""Tasks, engines and data sources by their names, each found by its folder: a new one needs no entry here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import UserError, nearest
from .protocols import Answers, Drawing, Network, Source, Suspects, Task, Training

ROOT = Path(__file__).parents[1]
PACKAGE = __name__.split(".")[0]


def tasks() -> list[str]:
    """The tasks that there are."""
    return _names(ROOT / "tasks")


def engine_folders() -> list[str]:
    """The engines that there are, whatever they can learn."""
    return _names(ROOT / "engines")


def engines(task: str) -> list[str]:
    """The engines that a task can be learned with."""
    return [name for name in engine_folders() if (ROOT / "tasks" / task / "networks" / f"{name}.py").is_file()]


def sources() -> list[str]:
    """The kinds of data source that there are."""
    return _names(ROOT / "data" / "sources")


def task(name: str) -> Task:
    """Raises UserError for an unknown one."""
    return _module("task", name, tasks(), f"tasks.{name}")


def fixed(of: str) -> dict[str, Any]:
    """The keys of `data` in which the task `of` leaves no choice, with their values."""
    return getattr(task(of), "FIXED", {})


def sign(of: str, metric: str) -> int:
    """1 where more of a metric of the task `of` is better, -1 where less is: what it is multiplied by to compare."""
    return -1 if metric in task(of).MINIMIZED else 1


def network(of: str, engine: str) -> Network:
    """An engine's networks for the task `of`; an empty `engine` is the task's default. Raises UserError."""
    engine = engine or task(of).DEFAULT_ENGINE
    return _module("model.engine", engine, engines(of), f"tasks.{of}.networks.{engine}")


def unusable(of: str, engine: str, architecture: Any) -> str:
    """Why an engine can't learn the task `of` with an architecture, where its networks can tell without building it."""
    told = getattr(network(of, engine), "unusable", None)
    return told(architecture) if told else ""


def training(of: str, engine: str) -> Training:
    """How an engine learns the task `of`. Raises UserError."""
    return _module("model.engine", engine, engines(of), f"tasks.{of}.training.{engine}")


def answers(of: str) -> Answers:
    """What predict.py writes of the task `of`. Raises UserError where it has none."""
    if not (ROOT / "tasks" / of / "answers.py").is_file():
        raise UserError(f"the task {of} has no answers.py: {ROOT.name}/shared/protocols.py says what belongs there")
    return _module("task", of, tasks(), f"tasks.{of}.answers")


def suspects(of: str) -> Suspects:
    """Which labels of the task `of` relabel.py takes for wrong. Raises UserError where nothing tells."""
    if not (ROOT / "tasks" / of / "suspects.py").is_file():
        raise UserError(f"the task {of} has no suspects.py: {ROOT.name}/shared/protocols.py says what belongs there")
    return _module("task", of, tasks(), f"tasks.{of}.suspects")


def drawing(columns: Iterable[str]) -> Drawing:
    """The drawing of the task that a frame with these columns is of. Raises UserError where there is none."""
    present = set(columns)
    names = (name for name in tasks() if (ROOT / "tasks" / name / "drawing.py").is_file())
    drawings: list[Drawing] = [import_module(f"{PACKAGE}.tasks.{name}.drawing") for name in names]  # type: ignore[misc]
    fitting = [drawing for drawing in drawings if present >= drawing.COLUMNS]
    if fitting:
        return max(fitting, key=lambda drawing: len(drawing.COLUMNS))  # one task's columns may hold all of another's
    raise UserError(f"no task draws images with the columns {', '.join(sorted(present))}: see tasks/*/drawing.py")


def source(kind: str) -> Source:
    """Raises UserError for an unknown one."""
    check_source(kind)
    return import_module(f"{PACKAGE}.data.sources.{kind}")  # type: ignore[return-value]


def check_source(kind: str) -> None:
    """Raises UserError where there is no such kind of data source."""
    if kind not in sources():
        raise UserError(f"No data source '{kind}': expected {', '.join(sources())}.{nearest(str(kind), sources())}")


def _names(folder: Path) -> list[str]:
    """Its folders with code in them; what is left of one that git has removed is none."""
    return sorted(path.name for path in folder.iterdir() if any(path.glob("*.py")))


def _module(key: str, name: str, known: list[str], module: str) -> Any:
    check(key, name, known)
    return import_module(f"{PACKAGE}.{module}")


def check(key: str, name: str, known: list[str]) -> None:
    """Raises UserError where there is no such name."""
    if name not in known:
        raise UserError(f"{key}={unknown(name, known)}")


def unknown(name: str, known: list[str]) -> str:
    """What is wrong with a name that is not among those known."""
    return f"{name} is not one of {', '.join(known)}.{nearest(str(name), known)}"
