"""Where runs are on an MLflow server, for pages that lead there. A file here has no address that lasts."""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from lab.tracking import settings
from lab.tracking.mlflow import views
from lab.tracking.mlflow.errors import public

PATIENCE = 3.0  # seconds: a report is not late because of its links
MOST = 1000  # runs that a server tells at once


def links(root: Path, design: str) -> dict[str, str]:
    """The pages of a design's runs, by its experiments' names; none where no server is named, or it doesn't tell.

    Asked without MLflow's own client, whose import takes seconds.
    """
    uri, experiment = _experiment(root)
    with suppress(OSError, ValueError, LookupError, HTTPException):
        if not experiment:
            return {}
        wanted = {"experiment_ids": [experiment], "filter": f"tags.design = '{design}'", "max_results": MOST}
        runs = _asked(uri, "runs/search", wanted).get("runs", [])
        start = f"{public(uri)}/#/experiments/{quote(experiment)}/runs"
        tags = {run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs}
        return {own["dvc.exp.name"]: f"{start}/{quote(key)}" for key, own in tags.items() if "dvc.exp.name" in own}
    return {}


def designs(root: Path) -> str:
    """The page of all designs on the server; empty where no server is named, or it doesn't tell."""
    uri, experiment = _experiment(root)
    return f"{public(uri)}/{views.page(quote(experiment), views.DESIGNS)}" if experiment else ""


def _experiment(root: Path) -> tuple[str, str]:
    """The server's address, and the id of the project's experiment there; empty where that is not known."""
    settings.environment(root)
    uri = settings.uri(root).rstrip("/")
    with suppress(OSError, ValueError, LookupError, HTTPException):
        if uri.startswith(("http://", "https://")):
            name = quote(settings.read(root).experiment, safe="")
            found = _asked(uri, f"experiments/get-by-name?experiment_name={name}")
            return uri, str(found["experiment"]["experiment_id"])
    return uri, ""


def _asked(uri: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a server answers. Raises OSError, ValueError, HTTPException."""
    headers = {"Content-Type": "application/json"}
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    data = json.dumps(body).encode() if body else None
    with urlopen(Request(f"{uri}/api/2.0/mlflow/{what}", data, headers), timeout=PATIENCE) as answer:
        return json.load(answer)
