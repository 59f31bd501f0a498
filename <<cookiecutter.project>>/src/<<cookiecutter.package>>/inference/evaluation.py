"""How good a model is on a test split: one code for PyTorch, OpenVINO and ensembles, so that numbers compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import reliability
from ..shared import registry
from ..shared.errors import UserError
from ..shared.model_file import ModelFile
from ..shared.prepared import Item, Prepared, read_image
from .predictor import Predictor, network_of


@dataclass
class Evaluation:
    """Metrics as numbers, results an image, and what the plots show.

    `metrics` has the task's main ones, `images` (how many) and, where there are classes, `classes`, each one's own by
    its name; over several sites `sites` has the main ones of each. `per_image` has one row an image (path, site and
    what the task knows), so that two models can be compared image by image; `confusion` one row an object (actual,
    predicted); `curve` precision over recall (class, recall, precision). A task without classes leaves these two empty.
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


def evaluate(predictor: Predictor, prepared: Prepared, site: Any, batch_size: int, split: str = "test") -> Evaluation:
    """Evaluate one network on a split of `site` (a name, a list of names or "all"). Raises UserError."""
    check_classes(predictor.model, prepared)
    items = prepared.items(split, site)
    return score(prepared, items, predict(predictor, items, batch_size))


def score(prepared: Prepared, items: list[Item], predictions: list[np.ndarray]) -> Evaluation:
    """One prediction an item compared with the labels; each image's row says its group. Raises UserError.

    Where the items are of several sites, the main metrics of each are among the metrics.
    """
    evaluation = registry.task(prepared.task).score(items, predictions, prepared.classes)
    groups = {item.path.as_posix(): item.group for item in items}
    evaluation.reliability = reliability(evaluation.per_image)
    evaluation.per_image["group"] = [groups[path] for path in evaluation.per_image["path"]]
    sites = sorted({item.site for item in items})
    if len(sites) > 1:
        evaluation.metrics["sites"] = {site: of_site(prepared, items, predictions, site) for site in sites}
    return evaluation


def of_site(prepared: Prepared, items: list[Item], predictions: list[np.ndarray], site: str) -> dict[str, Any]:
    """A site's main metrics and how many images and objects they rest on; no metrics where nothing can be measured."""
    task, own = registry.task(prepared.task), [number for number, item in enumerate(items) if item.site == site]
    try:
        metrics = task.score([items[n] for n in own], [predictions[n] for n in own], prepared.classes).metrics
    except UserError:  # such as no labelled object there
        return {"images": len(own)}
    return {name: metrics[name] for name in (*task.MAIN_METRICS, "images", "objects") if name in metrics}


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
