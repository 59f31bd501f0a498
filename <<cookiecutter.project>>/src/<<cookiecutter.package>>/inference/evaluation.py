"""How good a model is on a test split: one code for PyTorch, OpenVINO and ensembles, so that numbers compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import reliability, swapped
from ..shared import registry
from ..shared.errors import UserError
from ..shared.model_file import ModelFile
from ..shared.prepared import Item, Prepared, read_image, slice_name
from .predictor import Predictor, network_of

MOST_CONFUSED = 5  # pairs of classes that are told
NOTHING = "none"  # what a slice is called whose images have no value


@dataclass
class Evaluation:
    """Metrics as numbers, results an image, and what the plots show.

    `metrics` has the task's main ones, `images` (how many) and, where there are classes, `classes`, each one's own by
    its name; over several sites `sites` has the main ones of each, and `slices` those of each value of a column.
    `per_image` has one row an image (path, site and what the task knows), so that two models can be compared image by
    image; `confusion` one row an object or label (actual, predicted); `curve` precision over recall (class, recall,
    precision).
    A task without classes leaves these two empty.
    `reliability` is filled in by `score`: metrics.py's.
    """

    metrics: dict[str, Any]
    per_image: pd.DataFrame
    confusion: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["actual", "predicted"]))
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["class", "recall", "precision"]))
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)


def check_classes(model: ModelFile, prepared: Prepared) -> None:
    """Raise UserError unless model and data are of one task and one list of classes."""
    if model.task != prepared.task:
        raise UserError(f"the model {model.name} is for {model.task}, the prepared data for {prepared.task}")
    if model.classes != prepared.classes:
        raise UserError(
            f"the model {model.name} knows the classes {', '.join(model.classes)}, the prepared data has "
            f"{', '.join(prepared.classes)}: train on this data, or prepare the data that the model was trained on"
        )


def score(
    prepared: Prepared, items: list[Item], predictions: list[np.ndarray], columns: Sequence[str] = ()
) -> Evaluation:
    """One prediction an item compared with the labels; each image's row says its group and its `columns` of items.csv.

    Where the items are of several sites, the main metrics of each are among the metrics, and those of each value of the
    columns. Raises UserError.
    """
    evaluation = registry.task(prepared.task).score(items, predictions, prepared.classes)
    evaluation.reliability = reliability(evaluation.per_image)
    by_path = {item.path.as_posix(): item for item in items}
    ordered = [by_path[path] for path in evaluation.per_image["path"]]
    for column in columns:
        name = slice_name(column)
        if name in evaluation.per_image and name not in ("site", "group"):
            raise UserError(f"infer.slices: {name} is what results call something else: give the column another name")
        evaluation.per_image[name] = values(ordered, column)
    evaluation.per_image["group"] = [item.group for item in ordered]
    sites = [item.site for item in items]
    if len(set(sites)) > 1:
        evaluation.metrics["sites"] = by_value(prepared, items, predictions, sites)
    if columns:
        evaluation.metrics["slices"] = {
            slice_name(column): by_value(prepared, items, predictions, values(items, column)) for column in columns
        }
    return evaluation


def most_confused(images: pd.DataFrame) -> dict[str, float]:
    """The share of the images in each of the MOST_CONFUSED pairs of classes, `cat as dog`, that are taken for another.

    Of `actual` and `predicted`, one label an image or any number.
    """
    labels = zip(images["actual"], images["predicted"], strict=True)
    counts = Counter(pair for each in labels for pair in swapped(*each))
    most = sorted(counts, key=lambda pair: (-counts[pair], pair))[:MOST_CONFUSED]
    return {pair: counts[pair] / len(images) for pair in most}


def values(items: Sequence[Item], column: str) -> list[str]:
    """What a column says of each item; where it says nothing, a word that it says of no other."""
    said, nothing = [item.columns[column] for item in items], NOTHING
    while nothing in said:
        nothing = f"({nothing})"
    return [value or nothing for value in said]


def by_value(
    prepared: Prepared, items: list[Item], predictions: list[np.ndarray], values: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """By each of the `values` of the items, the main metrics and how many images and objects they rest on.

    No metrics where nothing can be measured, such as where there is no labelled object.
    """
    task, parts = registry.task(prepared.task), {}
    for value in sorted(set(values)):
        own = [number for number, each in enumerate(values) if each == value]
        try:
            metrics = task.score([items[n] for n in own], [predictions[n] for n in own], prepared.classes).metrics
        except UserError:
            metrics = {"images": len(own)}
        parts[value] = {name: metrics[name] for name in (*task.MAIN_METRICS, "images", "objects") if name in metrics}
    return parts


def predict(predictor: Predictor, items: list[Item], batch_size: int) -> list[np.ndarray]:
    """One prediction an item, as its task defines it."""
    needed = predictor.model.image_size
    groups = (
        predict_images(predictor, [read_image(item, needed=needed) for item in group])
        for group in batches(items, batch_size)
    )
    return [prediction for group in groups for prediction in group]


def predict_images(predictor: Predictor, images: list[np.ndarray]) -> list[np.ndarray]:
    """One prediction an image, (H, W, 3) uint8 RGB each, asked in one batch."""
    model, network = predictor.model, network_of(predictor.model)
    output = predictor(np.stack([network.preprocess(model, image) for image in images]))
    return network.postprocess(model, output, [image.shape[:2] for image in images])


def batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Groups of `size` items; the last may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def thinned(name: str, recall: np.ndarray, precision: np.ndarray) -> pd.DataFrame:
    """A class's curve at 51 recalls: enough for a plot, little enough for git."""
    grid = np.linspace(0, 1, 51)
    return pd.DataFrame({"class": name, "recall": grid, "precision": np.interp(grid, recall, precision).round(5)})
