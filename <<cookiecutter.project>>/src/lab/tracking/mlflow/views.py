"""Views for MLflow's pages: which columns a table shows, sorted and grouped by what.

MLflow keeps them as tags of the experiment. The encoding is its own and not documented (mlflow/server/js:
`mlflow.sharedViewState.<id>`, since 3.15); a server that doesn't know it shows nothing of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from lab.tracking import text
from lab.tracking.run import Run

DESIGNS = "designs"  # the view that shows designs with their runs below them
ANSWER, STANDING = ("verdict", "best.arm"), ("runs.finished", "runs.failed")  # tags in that view
NAME = "attributes.`Run Name`"
WIDTHS = {NAME: 330, "tags.`verdict`": 130, "tags.`best.arm`": 160}  # pixels that it takes to read them
_TAG = "mlflow.sharedViewState."


def page(experiment: str, view: str) -> str:
    """A view's page, within MLflow's. Without the workflow MLflow opens its pages for language models."""
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={key(view)}"


def linked(run: Run, experiment: str, run_id: str) -> str:
    """What a design's run says of itself, with links below the answer: MLflow's own charts of it hold no other run."""
    answer, rest, others = run.note.partition("\n\n")
    report = f"#/experiments/{experiment}/runs/{run_id}/artifacts/report.html?workflowType=machine_learning"
    pages = {"Report": report} if "report.html" in run.artifacts else {}
    if run.metrics:
        means = page(experiment, f"{run.key}.means")
        pages |= {"Charts": f"{means}&compareRunsMode=CHART", "Means": means}
        pages["Runs"] = page(experiment, f"{run.key}.runs")
    if not pages:
        return run.note
    links = " · ".join(f"[{name}]({address})" for name, address in pages.items())
    return text.cut(f"{answer}\n\n{links}{rest}{others}", text.TAG)


def tags(run: Run) -> dict[str, str]:
    """The tags for a design's run: the view of all designs, and for this one its runs, and the means over the seeds."""
    if not run.metrics:
        return {}
    figures = [f"metrics.`{name}`" for name in run.overview]
    overview = [*(f"tags.`{name}`" for name in ANSWER), *figures, *(f"tags.`{name}`" for name in STANDING)]
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
            **_charts(run.metrics),
        )
    )


def key(name: str) -> str:
    """The view's id, as links have it: `?viewStateShareKey=<key>`."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _charts(metrics: Sequence[str]) -> dict[str, Any]:
    """Bars of what decides, in a section of their own: MLflow adds those of the other metrics, sorted by name."""
    section = {"uuid": "decides", "name": "Decides", "display": True, "isReordered": False, "deleted": False}
    charts = [
        {
            "type": "BAR",
            "uuid": f"decides-{metric}",
            "metricSectionId": "decides",
            "metricKey": metric,
            "displayName": metric,
            "runsCountToCompare": 100,
            "deleted": False,
            "isGenerated": False,
        }
        for metric in metrics
    ]
    return {"compareRunSections": [section], "compareRunCharts": charts}


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
        "columnOrder": [NAME, *state["selectedColumns"]],
        "columnWidths": WIDTHS,
        **state,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(full).encode())).decode()
    created = 0 if name == DESIGNS else created  # shared by all designs
    view = {"name": title, "createdAt": created, "updatedAt": created, "state": f"deflate;{packed}"}
    return {_TAG + key(name): json.dumps(view)}
