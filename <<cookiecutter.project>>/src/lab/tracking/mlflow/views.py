"""Views for MLflow's pages: which columns a table shows, sorted and grouped by what.

MLflow keeps them as tags of the experiment. The encoding is its own and not documented (mlflow/server/js:
`mlflow.sharedViewState.<id>`, since 3.15); a server that doesn't know it shows nothing of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

from lab.tracking.run import Run

DESIGNS = "designs"  # the view that shows designs with their runs below them
STANDING = ("best.arm", "runs.finished", "runs.failed", "arm", "seed")  # tags in that view
_TAG = "mlflow.sharedViewState."


def tags(run: Run) -> dict[str, str]:
    """The tags for a design's run: the view of all designs, and for this one its runs, and the means over the seeds."""
    if not run.metrics:
        return {}
    overview = [*(f"metrics.`{name}`" for name in run.overview), *(f"tags.`{name}`" for name in STANDING)]
    metrics = [f"metrics.`{name}`" for name in run.metrics]
    params = [f"params.`{name}`" for name in run.factors]
    own = f"tags.`design` = '{run.key}' AND tags.`superseded.by` IS NULL"
    return (
        _tag(DESIGNS, "Designs", run.start, selectedColumns=overview)
        | _tag(
            f"{run.key}.runs",
            f"{run.key}: runs, the best first",
            run.start,
            searchFilter=own,
            selectedColumns=["tags.`arm`", "tags.`seed`", *metrics, *params],
            orderByKey=metrics[0],
            orderByAsc=run.ascending,
        )
        | _tag(
            f"{run.key}.means",
            f"{run.key}: means over the seeds",
            run.start,
            searchFilter=own,
            selectedColumns=metrics,
            orderByKey=metrics[0],
            orderByAsc=run.ascending,
            groupBy={"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]},
        )
    )


def key(name: str) -> str:
    """The view's id, as links have it: `?viewStateShareKey=<key>`."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _tag(name: str, title: str, created: int, **state: Any) -> dict[str, str]:
    full = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "runsHiddenMode": "FIRST_20_RUNS",
        "groupBy": None,
        **state,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(full).encode())).decode()
    created = 0 if name == DESIGNS else created  # shared by all designs
    view = {"name": title, "createdAt": created, "updatedAt": created, "state": f"deflate;{packed}"}
    return {_TAG + key(name): json.dumps(view)}
