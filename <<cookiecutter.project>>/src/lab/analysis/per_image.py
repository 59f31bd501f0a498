"""What a model said of each test image, and metrics as functions of how often each image counts.

So two models can be compared on the same images, and the bootstrap tells what other images could have shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.records.record import FINISHED

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lab.records.record import Record
    from lab.records.study import Study

COLUMNS = ("path", "site", "actual", "predicted", "correct", "confidence", "objects", "f1", "matched")
Examples = Mapping[tuple[str, int], "pd.DataFrame"]  # by arm and seed
Scorer = Callable[["np.ndarray"], "np.ndarray"]  # weights (images, b) to the metric's values (b,)

_SCORED = re.compile(
    r"(?P<stage>infer|quant)\.(?P<name>f1_macro|accuracy|mAP50|mAP50_95|classes\.(?P<label>.+)\.(?P<of>f1|precision|recall|AP50|AP50_95))"
)
_THRESHOLDS = {"mAP50": 1, "AP50": 1, "mAP50_95": 10, "AP50_95": 10}  # how many of the ten IoU thresholds count


def read(study: Study) -> dict[tuple[str, int], pd.DataFrame]:
    """The per-image results of a study's finished runs, by arm and seed, as far as DVC's cache here has them."""
    found = {}
    for row in study.rows:
        path = predictions(row.record, study.design.target) if row.record and row.status == FINISHED else None
        if path is not None:
            found[row.arm, row.seed] = frame(path)
    return found


def predictions(record: Record, stage: str) -> Path | None:
    """Where DVC's cache has a run's results/<stage>/predictions.parquet; None where it lacks it, as on a fresh clone."""
    md5 = digest(record, stage)
    path = cache(record.root) / "files" / "md5" / md5[:2] / md5[2:] if md5 else None
    return path if path and path.exists() else None


def digest(record: Record, stage: str) -> str | None:
    """The MD5 hash of a run's results/<stage>/predictions.parquet, by its dvc.lock; None where it has none."""
    md5: str | None = record.outputs.get(f"results/{stage}/predictions.parquet", {}).get("md5")
    return md5


def frame(path: Path) -> pd.DataFrame:
    """Such a file without its boxes and probabilities: what `scorer` needs, one row an image."""
    import pandas as pd
    import pyarrow.parquet

    there = pyarrow.parquet.read_schema(path).names
    return pd.read_parquet(path, columns=[name for name in COLUMNS if name in there])


def is_scored(metric: str) -> bool:
    """Whether a metric follows from the per-image results: F1 and accuracy, mAP50 and mAP50_95."""
    return _SCORED.fullmatch(metric) is not None


def scorer(images: pd.DataFrame, metric: str) -> Scorer | None:
    """A metric as a function of how often each image counts; None for one that the images don't tell.

    With each image once it is what the stage wrote into metrics/.
    """
    match = _SCORED.fullmatch(metric)
    if match is None:
        return None
    name = match["of"] or match["name"]
    if name in _THRESHOLDS:
        return _average_precision(images, _THRESHOLDS[name], match["label"]) if "matched" in images else None
    if "objects" in images:  # of detection nothing else follows from the images
        return None
    if name == "accuracy":
        correct = images["correct"].to_numpy(float)
        return lambda weights: correct @ weights / weights.sum(0)
    return _by_class(images, match["of"] or "f1", match["label"])


def difference(arms: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame], metric: str) -> tuple[Scorer, int] | None:
    """How much better `arms` score than `others`, seed by seed, on the mean; and of how many images.

    An image that both have seen has one weight for both, so that they are compared in pairs. Without `others` it is the
    mean score of `arms`. None where a metric doesn't follow from the images.
    """
    import numpy as np

    frames = [*arms, *others]
    position = {path: i for i, path in enumerate(dict.fromkeys(path for images in frames for path in images["path"]))}
    places = [np.array([position[path] for path in images["path"]]) for images in frames]
    scorers = [scorer(images, metric) for images in frames]
    signs = [1 / len(arms)] * len(arms) + [-1 / max(1, len(others))] * len(others)
    if None in scorers:
        return None

    def score(weights: np.ndarray) -> np.ndarray:
        parts = zip(signs, scorers, places, strict=True)
        return sum((sign * of(weights[at]) for sign, of, at in parts if of), np.zeros(weights.shape[1]))

    return score, len(position)


def cache(root: Path) -> Path:
    """The folder of DVC's cache: the project's own, or the one that its config names."""
    from dvc.config import Config

    folder = root / ".dvc"
    return Path(Config(str(folder))["cache"].get("dir") or folder / "cache")


def _by_class(images: pd.DataFrame, what: str, label: str | None) -> Scorer:
    """F1, precision or recall of one class, or the mean over the classes that the images have, as scikit-learn's."""
    import numpy as np

    actual, predicted = images["actual"].to_numpy(str), images["predicted"].to_numpy(str)
    labels = np.unique(actual) if label is None else np.array([label])
    is_actual, is_predicted = (side[None, :] == labels[:, None] for side in (actual, predicted))
    hits = (is_actual & is_predicted).astype(float)
    is_actual, is_predicted = is_actual.astype(float), is_predicted.astype(float)

    def score(weights: np.ndarray) -> np.ndarray:
        hit, there, said = (side @ weights for side in (hits, is_actual, is_predicted))
        above, below = {"f1": (2 * hit, there + said), "precision": (hit, said), "recall": (hit, there)}[what]
        values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        present = there > 0
        return np.where(present, values, 0).sum(0) / np.maximum(present.sum(0), 1)

    return score


def _average_precision(images: pd.DataFrame, thresholds: int, label: str | None) -> Scorer:
    """Average precision at the first IoU thresholds, of one class or over those that the images have, as Ultralytics'."""
    import numpy as np

    def flat(column: str, kind: type) -> np.ndarray:
        return np.concatenate([np.asarray(values).astype(kind) for values in images[column]])

    def owner(column: str) -> np.ndarray:
        return np.repeat(np.arange(len(images)), [len(values) for values in images[column]])

    best_first = np.argsort(-flat("confidence", float))
    said, image = flat("predicted", str)[best_first], owner("predicted")[best_first]
    matched, truth, of = flat("matched", int)[best_first], flat("actual", str), owner("actual")
    classes = []
    for each in np.unique(truth) if label is None else [label]:
        own = said == each
        hits = [(matched[own] // 2**t % 2).astype(bool) for t in range(thresholds)]
        curves = [_Curve(image[own], hit, len(images)) for hit in hits]
        classes.append((np.bincount(of[truth == each], minlength=len(images)).astype(float), curves))

    def score(weights: np.ndarray) -> np.ndarray:
        total, present = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for objects, curves in classes:
            number = objects @ weights
            present += number > 0
            total += sum(curve.area(weights, number) for curve in curves) / thresholds
        return total / np.maximum(present, 1)

    return score


class _Curve:
    """Precision over recall of one class at one IoU threshold, under any weights of the images.

    The curve's corners lie at the hits, so that only the misses between one hit and the next have to be counted.
    """

    def __init__(self, image: np.ndarray, hit: np.ndarray, images: int):
        """`image` is each detection's, the most confident first, and `hit` whether it is right."""
        import numpy as np
        from scipy.sparse import coo_array

        self.at = image[hit]
        gap = np.cumsum(hit) - hit  # how many hits came before
        counts = (~hit & (gap < len(self.at))).astype(float)
        row = np.minimum(gap, max(0, len(self.at) - 1))
        self.misses = coo_array((counts, (row, image)), shape=(max(1, len(self.at)), images)).tocsr()

    def area(self, weights: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """The area below the curve, by 101 recalls, for `objects` (b,) of the class; 0 where there are none."""
        import numpy as np

        draws = weights.shape[1]
        if not len(self.at):
            return np.zeros(draws)
        hits = np.vstack([np.zeros(draws), np.cumsum(weights[self.at], axis=0)])
        misses = np.cumsum(self.misses @ weights, axis=0)
        # Each hit twice: as it is found, and after the misses that follow it. The first row is before any.
        found, missed = np.repeat(hits, 2, axis=0)[1:-1], np.repeat(misses, 2, axis=0)
        seen = found + missed
        precision = np.divide(found, seen, out=np.ones_like(seen), where=seen > 0)
        nothing, one = np.zeros((1, draws)), np.ones((1, draws))
        precision = np.vstack([one, precision, nothing, nothing])
        recall = np.vstack([nothing, found / np.maximum(objects, 1), hits[-1:] / np.maximum(objects, 1), one])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        grid = np.linspace(0, 1, 101)
        curves = np.array([np.interp(grid, *curve) for curve in zip(recall.T, envelope.T, strict=True)])
        return np.where(objects > 0, np.trapezoid(curves, grid, axis=1), 0)
