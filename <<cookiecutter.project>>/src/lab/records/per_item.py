"""What was said of each test item, out of DVC's cache, and the project's functions that make metrics of it."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.contract import hooks
from lab.errors import UserError, nearest
from lab.study import Examples

if TYPE_CHECKING:
    import pandas as pd

    from lab.study import Study

NUMBERS = ("b", "i", "u", "f")  # kinds of numpy's types


def read(study: Study) -> Examples:
    """The items' table of each finished run, by arm and seed, as far as DVC's cache here has them."""
    tables = {}
    for replicate in study.replicates:
        path = predictions(study, replicate.record) if replicate.finished else None
        if path is not None:
            tables[replicate.arm, replicate.seed] = table(study, path)
    return Examples(tables, partial(_scorer, study))


def _scorer(study: Study, frame: pd.DataFrame, metric: str) -> Any:
    """A metric as a function of how often each item counts; None for one that they don't tell. Raises UserError."""
    hook = study.metric(metric).per_item
    scorer = hooks.load(study.project.root, hook)(frame, metric) if hook else None
    if scorer is None:
        return None
    if not callable(scorer):
        raise UserError(f"lab.yaml: {hook}: for {metric} it gave {scorer!r}: expected a function of weights, or None")
    score = hooks.for_people(scorer, f"{hook} for {metric}")

    def checked(weights: Any) -> Any:
        values = score(weights)
        kind = getattr(getattr(values, "dtype", None), "kind", None)
        if getattr(values, "shape", None) != (weights.shape[1],) or kind not in NUMBERS:
            what = type(values).__name__ if kind in (None, *NUMBERS) else f"an array of {values.dtype}"
            raise UserError(
                f"lab.yaml: {hook}: for {metric} its function gave {what}: expected an array with a number for each "
                "column of the weights"
            )
        return values

    return checked


def predictions(study: Study, record: Any) -> Path | None:
    """Where DVC's cache has what a run said of each test item; None where it lacks it, as on a fresh clone."""
    md5 = digest(study, record)
    return study.project.store.file(md5) if md5 else None


def digest(study: Study, record: Any) -> str | None:
    """The MD5 hash of that file, by the run's dvc.lock; None where it has none."""
    path = study.contract.predictions_path(study.stage)
    return record.outputs.get(path, {}).get("md5") if path else None


def absent(study: Study) -> set[str]:
    """The hashes of the files of finished runs that DVC's cache here lacks."""
    lacking = (record for record in study.finished if not predictions(study, record))
    return {md5 for record in lacking if (md5 := digest(study, record))}


def bring(study: Study) -> None:
    """Fetch these from DVC's remote, as far as it has them."""
    if missing := absent(study):
        study.project.store.fetch(missing)


def columns(path: Path, called: str) -> list[str]:
    """The columns of such a file, which is a CSV file where it is called so, without reading it."""
    if called.endswith(".csv"):
        with path.open(encoding="utf-8") as file:
            return next(csv.reader(file), [])
    import pyarrow.parquet

    return list(pyarrow.parquet.read_schema(path).names)


def table(study: Study, path: Path, whole: bool = False) -> pd.DataFrame:
    """Such a file, one row an item; unless `whole`, without the columns that no metric needs."""
    import pandas as pd

    said = study.contract.predictions
    assert said is not None
    skipped = () if whole else said.skip
    if said.output.endswith(".csv"):
        items = pd.read_csv(path, usecols=lambda name: name not in skipped)
    else:
        names = columns(path, said.output)
        items = pd.read_parquet(path, columns=[name for name in names if name not in skipped])
    if said.item not in items:
        raise UserError(
            f"lab.yaml: predictions.item: {said.output} has no column {said.item}.{nearest(said.item, items.columns)}"
        )
    items[said.item] = items[said.item].astype(str)  # numbers tell items apart as well
    return items
