"""Models by the names that MLflow has for them: a run's id, or models:/name/version and models:/name@alias."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.tracking import settings
from lab.tracking.mlflow.errors import public

REVISION = "dvc.exp.rev"  # the tag by which a run or a model version says which experiment it stands for
_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/]+))")


def find(root: Path, name: str) -> str | None:
    """The commit of the experiment that a run or a model version stands for; None for a name of another form.

    Raises:
        UserError: MLflow has no such thing, it can't be asked, or what it has is no experiment's.
    """
    if not name.startswith("models:/") and not _RUN.fullmatch(name):
        return None
    settings.environment(root)
    place = settings.uri(root)
    if settings.embedded(root) and not settings.database(root).exists():
        raise UserError(f"{name} is looked for in MLflow, and there is no mlflow.db here: lab mirror --all makes it")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        tags = _tags(MlflowClient(tracking_uri=place), name)
    except MlflowException as error:
        raise UserError(f"{name}: {str(error).splitlines()[0]} ({public(place)})") from error
    if REVISION not in tags:
        raise UserError(f"{name} has no tag {REVISION}: it was not brought to MLflow by lab mirror")
    return str(tags[REVISION])


def _tags(client: Any, name: str) -> dict[str, str]:
    """The tags of a run or of a model version; those of its run where it has none of ours. Raises MlflowException."""
    if _RUN.fullmatch(name):
        return dict(client.get_run(name).data.tags)
    match = _MODEL.fullmatch(name)
    if match is None:
        raise UserError(f"{name}: expected models:/name/version or models:/name@alias")
    model, version, alias = match.groups()
    stored = client.get_model_version(model, version) if version else client.get_model_version_by_alias(model, alias)
    return dict(stored.tags) if REVISION in stored.tags or not stored.run_id else _tags(client, stored.run_id)
