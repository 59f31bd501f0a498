"""MLflow's errors as one line for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lab import secrets
from lab.tracking import text
from lab.tracking.sink import Trouble

# Deleted by another mirror, or written by it in the same moment: MLflow lets the database tell.
_MET = ("must be in the 'active' state", "IntegrityError", "UniqueViolation")
_REFUSED = ("error code 401", "error code 403", "PERMISSION_DENIED")
_FULL = re.compile("no space left|disk is full|quota exceeded", re.IGNORECASE)
_LOCKED = ("readonly database", "unable to open database")


class Conflict(Exception):
    """Another mirror has changed what we were at."""


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Make of the errors of MLflow at `uri` a Trouble, or a Conflict."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        message = " ".join(str(error).split())
        is_gone = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
        if is_gone or any(words in message for words in _MET):
            raise Conflict from error
        raise Trouble(_sentence(public(uri), message, isinstance(error, ConnectionError))) from error


def _sentence(place: str, message: str, is_down: bool) -> str:
    if any(words in message for words in _REFUSED):
        return (
            f"MLflow at {place} refuses: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (in the environment, "
            "or in .env) are not those of a user who may write there"
        )
    if _FULL.search(message):
        return f"the disk of {place} is full"
    if failing := re.search(r"too many (\d+) error responses", message):
        return f"MLflow at {place} answers with an error of its own ({failing[1]})"
    if "failed with exception" in message or is_down:
        return f"MLflow at {place} does not answer"
    if any(words in message for words in _LOCKED):
        return f"{place} can't be written"
    return f"MLflow at {place}: {text.cut(message, 300)}"


def public(uri: str) -> str:
    """An address as people may see it."""
    return secrets.hide(uri).removeprefix("sqlite:///")
