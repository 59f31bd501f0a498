"""Where the mirror sends what it reads, and keeps what it notes: conf/tracking.yaml, the environment, and .env."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab import yaml12
from lab.errors import UserError, nearest
from lab.tracking.sink import SINKS

FILE = Path("conf") / "tracking.yaml"
OURS = ("MLFLOW_", "WANDB_")  # what is taken from .env; the rest is other programs'


class Settings(BaseModel):
    """What conf/tracking.yaml says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    experiment: Annotated[str, Field(min_length=1, max_length=250)]
    backends: list[Literal[tuple(SINKS)]] = ["mlflow"]  # type: ignore[valid-type]
    upload_models: Literal["none", "best", "all"] = "none"


def read(root: Path) -> Settings:
    """The settings of the project at `root`. Raises UserError, with the file and the key."""
    path = root / FILE
    try:
        content = yaml12.read(path, str(FILE))
        return Settings.model_validate({"experiment": root.name, **(content or {})})
    except FileNotFoundError:
        return Settings(experiment=root.name)
    except TypeError as error:
        raise UserError(f"{FILE} is not a mapping in YAML: {error}") from error
    except ValidationError as error:
        raise UserError("\n".join(f"{FILE}: {_message(item)}" for item in error.errors())) from error


def _message(error: object) -> str:
    assert isinstance(error, dict)
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key} is no setting.{nearest(key, Settings.model_fields)}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def environment(root: Path) -> None:
    """Take what .env says of MLflow and W&B into this process; what the environment says wins."""
    for name, value in dotenv_values(root / ".env").items():
        if name.startswith(OURS) and value:
            os.environ.setdefault(name, value)
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # The mirror tries again by itself: a server that is down should be told within seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")


def uri(root: Path) -> str:
    """The tracking server's address, after `environment`; the project's own SQLite file where none is named."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(root)}"


def embedded(root: Path) -> bool:
    """Whether runs are kept in the project's own file."""
    return uri(root) == f"sqlite:///{database(root)}"


def database(root: Path) -> Path:
    """That file."""
    return root / "mlflow.db"


def folder(root: Path) -> Path:
    """Where lab keeps what it notes for itself."""
    path = root / ".dvc" / "tmp" / "lab"
    path.mkdir(parents=True, exist_ok=True)
    return path
