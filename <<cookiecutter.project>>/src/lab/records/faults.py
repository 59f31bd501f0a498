"""Why a commit can't be read as a run: whatever came with a push, a crash or a full disk, it is told and stops nobody.

What is found here is all that later readers rely on. A metrics file that is damaged is no fault of the record: such a
run is one without metric.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lab import yaml12
from lab.contract.messages import explained
from lab.design.plan import MEMBERSHIP
from lab.errors import UserError
from lab.git_objects import Lost
from lab.git_refs import NOTHING

if TYPE_CHECKING:
    from lab.records.commit import Commit

LOCK, PARAMS, PIPELINE = "dvc.lock", "params.yaml", "dvc.yaml"
MOST_STAGES = 1_000  # each is compared with each other
SHOWN = 200  # characters of a reason
PLAIN = (str, int, float, bool, type(None))


def told(check: Callable[[], Any]) -> str:
    """What is wrong, in a line; empty where the check passes. Raises Lost: git lacks a part, which may come back."""
    try:
        check()
    except Lost:
        raise
    except UserError as error:
        return _line(str(error))
    except RecursionError:
        return "what it holds leads in a circle, or is nested too deep"
    except Exception as error:  # others' bytes: what nobody has thought of stops no command either
        return _line(f"it can't be read ({type(error).__name__}: {error})")
    return ""


def check_run(commit: Commit, block_known: Callable[[dict[str, Any]], None]) -> None:
    """Raises UserError where a commit can't be read as a run; `block_known` gets the block that says whose run it is.

    That is called before the rest is looked at, so that it is known of what else is wrong with a design's own run.
    """
    check_commit(commit)
    params = commit.params
    _check_plain(params)
    block_known(membership(params))
    stages = commit.pipeline.stages
    if len(stages) > MOST_STAGES:
        raise UserError(f"{PIPELINE} has {len(stages)} stages: more than {MOST_STAGES} are not read")
    commit.pipeline.metrics_files(commit.contract, params)
    if not params and any(stage.get("params") for stage in stages.values()):
        raise UserError(f"{PARAMS} is empty or absent, and stages of its {PIPELINE} read it")
    lock = mapping(commit.text(LOCK), LOCK)
    _validated(Lock, lock, LOCK)
    if strange := (commit.stages.keys() - stages) & {*commit.contract.types.values()}:
        raise UserError(f"{LOCK} has the stage {min(strange)}, and its {PIPELINE} has not")
    for stage in commit.stages:
        path = commit.contract.effective_path(stage)
        if path and commit.git.object_id(commit.rev, path) is not None:
            note(commit.result(path), path)


def check_commit(commit: Commit) -> None:
    """Raises UserError, Lost among them, for an object that is no commit, or one that says odd things of itself."""
    git, rev = commit.git, commit.rev
    kind = git.kind(rev)
    if rev == NOTHING:
        raise Lost("its ref is empty or half written, as after a crash or on a full disk")
    if not kind:
        raise Lost(lost(rev))
    if kind != "commit":
        raise UserError(f"its ref leads to a {kind} and not to a commit")
    if git.kind(git.tree(rev)) != "tree":
        raise Lost(f"the files of its commit {rev[:7]} are not in git here")
    for read in (git.day, git.author, git.message):
        read(rev)


def lost(rev: str) -> str:
    """What is said of a commit that is gone, also where what it said is known."""
    return f"its commit {rev[:7]} is not in git here any more"


def check_start(commit: Commit) -> None:
    """Raises UserError where runs that started from a commit can't be told: its config or contract is broken."""
    if not commit.git.kind(commit.rev):
        raise Lost(
            f"the commit that it started from, {commit.rev[:7]}, is not in git here: git fetch --unshallow, or the "
            "branch that has it"
        )
    check_commit(commit)
    commit.project.contract_at(commit.rev)
    _check_plain(commit.params)


# Files


def mapping(text: str, where: str) -> dict[str, Any]:
    """What a YAML file holds, which has to be a mapping or empty. Raises UserError."""
    try:
        content = yaml12.load(text)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{where}, {yaml12.explained(error)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{where} is {_named(content)}: expected a mapping")
    return content


def _check_plain(params: dict[str, Any]) -> None:
    """Raises UserError: a value that YAML has and JSON has not, such as a set or a date with its tag."""
    left: list[tuple[str, Any]] = [("", params)]
    while left:
        place, value = left.pop()
        if isinstance(value, dict):
            odd = [key for key in value if not isinstance(key, str)]
            if odd and (len({type(key) for key in value}) > 1 or not isinstance(odd[0], PLAIN)):
                raise UserError(f"{PARAMS}: {place or 'its top'} has the key {odd[0]!r}: write it in quotes")
            left += [(f"{place}.{key}".lstrip("."), item) for key, item in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}.{number}", item) for number, item in enumerate(value)]
        elif not isinstance(value, PLAIN):
            raise UserError(f"{PARAMS}: {place} is {_named(value)}: expected text, numbers, lists and mappings")


def membership(params: dict[str, Any]) -> dict[str, Any]:
    """The block that says what a run belongs to; empty for a run that no design asked for. Raises UserError."""
    block = params.get(MEMBERSHIP)
    if block is None:
        return {}
    if not isinstance(block, dict):
        raise UserError(f"{PARAMS}: {MEMBERSHIP} is {_named(block)}: expected what lab writes there, or nothing")
    if "design" not in block:
        return {}
    _validated(Membership, block, f"{PARAMS}: {MEMBERSHIP}")
    return block


def note(text: str, where: str) -> dict[str, Any] | None:
    """What a stage noted of its run; None where the file is empty or absent. Raises UserError."""
    try:
        content = yaml12.load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    first: Any = content[0] if isinstance(content, list) and content else content
    if first is None:
        return None
    _validated(Note, first, where)
    return first


class Strict(BaseModel):
    """What is read of a file; the rest of it is nobody's business here."""

    model_config = ConfigDict(extra="allow", strict=True)


class Membership(Strict):
    """Whose run it is: what `design.plan` writes into its params."""

    design: str
    arm: str
    seed: int
    type: str = ""
    kind: str = ""
    digest: str = ""
    levels: dict[str, Any] = {}
    replicate: int | None = None
    index: int | None = None
    baseline: str | None = None
    forced: bool = False


class Entry(Strict):
    """A file or folder in dvc.lock. By its hash it is found in DVC's cache."""

    path: str
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")] | None = None


class Stage(Strict):
    """A stage that ran: what it was told, what it read and what it wrote."""

    params: dict[str, dict[str, Any]] = {}
    deps: list[Entry] = []
    outs: list[Entry] = []


class Lock(Strict):
    """dvc.lock."""

    stages: dict[str, Stage] = {}


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40}: expected a time, such as 2026-11-26T12:00:00+00:00")
    moment = datetime.fromisoformat(value).astimezone(UTC)
    if not 1980 < moment.year < 3000:
        raise ValueError(f"{value}: expected a time of this millennium")
    return value


Time = Annotated[str, BeforeValidator(_time)]


class Epoch(Strict):
    """When an epoch ended."""

    epoch: int
    ended: Time


class Used(Strict):
    """What a stage found itself to use."""

    epochs: list[Epoch] | None = None


class Machine(Strict):
    """What a stage ran on."""

    gpus: list[str] | None = None
    versions: dict[str, Any] | None = None


class Note(Strict):
    """What a stage noted of its run."""

    stage: str | None = None
    started: Time
    seconds: Annotated[float, Field(ge=0, le=timedelta(days=10_000).total_seconds(), allow_inf_nan=False)]
    config: dict[str, Any] | None = None
    used: Used | None = None
    machine: Machine | None = None


def _validated(model: type[BaseModel], content: Any, where: str) -> None:
    """Raises UserError with the first thing that is wrong, and how much else is."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        first, *others = error.errors()
        place = ".".join(map(str, first["loc"]))
        more = f", and {len(others)} more" if others else ""
        raise UserError(f"{where}: {f'{place}: ' if place else ''}{explained(first)}{more}") from error


def _named(value: Any) -> str:
    """What a value is, for people."""
    kinds = {list: "a list", dict: "a mapping", str: "a text", int: "a number", float: "a number"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _line(text: str) -> str:
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
