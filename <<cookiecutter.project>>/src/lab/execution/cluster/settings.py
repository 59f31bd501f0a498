"""Which clusters there are: conf/cluster.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab import yaml12
from lab.errors import UserError, nearest

FILE = Path("conf") / "cluster.yaml"


class Settings(BaseModel):
    """What conf/cluster.yaml says of any cluster. Paths are those of the nodes, where $NAMES are filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine: str
    jobs: Annotated[int, Field(ge=1)] | None = None
    """How many runs at a time unless -j says; left out, as many as the cluster takes."""
    remote: str = "origin"
    """The git remote that nodes take the code from and send experiments to."""
    python: str | None = None
    """The interpreter of an environment that nodes have; `build` makes one; left out, the one that runs lab."""
    scratch: str = "/tmp/lab-$USER"
    """Where nodes keep checkouts while runs last, and data: a disk of their own."""
    cache: str | None = None
    """DVC's cache, where nodes and this machine share a disk; else data come and go by DVC's remote."""
    checkpoints: str | None = None
    """A folder that nodes share: an interrupted training goes on from there."""
    folder: str | None = None
    """A folder that nodes and this machine share, for logs; left out, .dvc/tmp/lab/clusters of the project."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """How often a run is submitted that the engine ends before its time."""
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How many a run takes, where its design's resources don't say: a share of one, or a whole number."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    memory: Annotated[str, Field(pattern=r"^[0-9]+[KMGT]?$")] | None = None
    """The most that a run takes, such as 16G."""


def names(root: Path) -> list[str]:
    """The clusters that conf/cluster.yaml names. Raises UserError."""
    return list(_content(root))


def engine_of(root: Path, name: str) -> str:
    """The engine of a cluster: what its entry says or, without one, its name."""
    return str((_content(root).get(name) or {}).get("engine", name))


def read(root: Path, name: str, kind: type[Settings]) -> Settings:
    """The settings of a cluster. Raises UserError, with the file and the key."""
    try:
        return kind.model_validate({"engine": name, **(_content(root).get(name) or {})})
    except ValidationError as error:
        raise UserError("\n".join(f"{FILE}: {name}.{_message(item, kind)}" for item in error.errors())) from error


def _content(root: Path) -> Mapping[str, Any]:
    try:
        content = yaml12.read(root / FILE, str(FILE)) or {}
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict) or not all(isinstance(entry, dict | None) for entry in content.values()):
        raise UserError(f"{FILE} is no mapping of a cluster's name to its settings, such as gpus: {{engine: slurm}}")
    return content


def _message(error: Any, kind: type[Settings]) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key} is no setting.{nearest(key, _fields(kind))}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _fields(kind: type[Settings]) -> Iterable[str]:
    return kind.model_fields
