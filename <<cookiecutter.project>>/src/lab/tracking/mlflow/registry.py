"""The champion as a registered model of MLflow: a version for each experiment that was it, the alias on the last one.

It follows from champion.yaml and can be made again as often as one likes. A version says by its tags which experiment
it is; the weights stay with DVC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.records import champion as champions
from lab.records.champion import Champion
from lab.tracking import settings
from lab.tracking.mlflow.errors import Conflict, public, translated
from lab.tracking.mlflow.model_refs import REVISION
from lab.tracking.mlflow.sink import MlflowSink, create
from lab.tracking.sink import Trouble

if TYPE_CHECKING:
    from lab.records.project import Project

ALIAS = "champion"


def register(project: Project) -> str:
    """Put the alias on the champion of HEAD. Returns what was done, in a line; empty where nothing is mirrored.

    A server that is down is told in that line, and `lab promote` has done its work all the same.
    """
    root, champion, chosen = project.root, champions.current(project), settings.read(project.root)
    settings.environment(root)
    if champion is None or MlflowSink.name not in chosen.backends:
        return ""
    if settings.embedded(root) and not settings.database(root).exists():
        return ""
    sink = create(root, chosen)
    try:
        with translated(sink.uri):
            sink.begin()
            version = _register(sink, chosen.experiment, champion)
    except (Trouble, Conflict) as error:
        return f"not registered in MLflow: {error or 'its experiment was deleted'}"
    return f"MLflow at {public(sink.uri)}: models:/{chosen.experiment}@{ALIAS} is version {version}"


def _register(sink: MlflowSink, name: str, champion: Champion) -> str:
    """The number of the version that is the champion now."""
    from mlflow.exceptions import MlflowException

    client = sink.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = {version.tags.get(REVISION): version for version in client.search_model_versions(f"name = '{name}'")}
    version = versions.get(champion.revision) or _create(sink, name, champion)
    client.set_registered_model_alias(name, ALIAS, version.version)
    return str(version.version)


def _create(sink: MlflowSink, name: str, champion: Champion) -> Any:
    """A version of the model, whose files are elsewhere: with a page of its own where the server has such, since 3."""
    import mlflow
    from mlflow.exceptions import MlflowException

    tags = {REVISION: champion.revision, "dvc.exp.name": champion.experiment, "design": champion.design}
    tags |= {"dvc.path": str(champions.FOLDER), "dvc.data": champion.data or ""}
    runs = sink.client.search_runs([sink.experiment], f"tags.`{REVISION}` = '{champion.revision}'", max_results=1)
    source = runs[0].info.run_id if runs else None
    mlflow.set_tracking_uri(sink.uri)
    try:
        model = mlflow.create_external_model(ALIAS, source_run_id=source, tags=tags, experiment_id=sink.experiment)
        place, model_id = f"models:/{model.model_id}", model.model_id
    except MlflowException as error:
        if error.error_code != "ENDPOINT_NOT_FOUND":
            raise
        place, model_id = f"dvc://{champions.FOLDER}", None
    return sink.client.create_model_version(name, place, run_id=source, tags=tags, model_id=model_id)
