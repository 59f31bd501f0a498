"""Sample predictions: half of them the worst, half drawn evenly from all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.report.figures import outputs
from lab.report.figures.drawing import BLUE, INK, RUST, Picture
from lab.report.figures.items import SHOWN, Items, gallery, items_of, missing, without_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study


def samples(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Of the best arm, with the first seed whose predictions are here."""
    import pandas as pd

    first = first_items(study, outputs.shown_arm(study, verdict))
    if first is None:
        yield Picture(entry.file, f"Sample predictions are not shown: {missing(study)}.", local=True)
        return
    seed, items = first
    frame: Any = items.frame
    half = SHOWN // 2
    by_score = frame.sort_values(["score", "surety"], ascending=[True, False], kind="stable")
    worst = list(by_score[items.column][:half])
    others = frame[~frame[items.column].isin(worst)][items.column]
    evenly = list(others.iloc[:: max(1, len(others) // half)][:half])
    images = {path: image for path in (*worst, *evenly) if (image := items.image(path)) is not None}
    reasons = ["worst"] * len(worst) + ["evenly"] * len(evenly)
    data = pd.DataFrame({items.column: [*worst, *evenly], "chosen": reasons})
    if not images:
        yield Picture(entry.file, f"Sample predictions are not shown: {without_images(study)}.", data, local=True)
        return

    def draw(axes: Axes, path: str) -> None:
        axes.imshow(images[path], cmap="gray")
        items.draw(axes, path, BLUE)
        is_right = items.row(path)["score"] >= 1
        axes.set_title(items.title(path), fontsize=8.5, color=INK if is_right else RUST)

    order = "The first row is the worst of all, the others are drawn evenly. Orange: not all right."
    whose = f"The model of {outputs.shown_arm(study, verdict)}" if len(study.arms) > 1 else "The model"
    caption = f"{whose} with seed {seed}. {order} {items.legend()}".strip()
    yield Picture(entry.file, caption, data, gallery(list(images), draw, lines=1), local=True)


def first_items(study: Study, arm: str) -> tuple[int, Items] | None:
    """The first seed of an arm whose predictions DVC's cache has, with them."""
    for replicate in study.arms[arm]:
        items = items_of(study, replicate.record) if replicate.finished else None
        if items is not None:
            return replicate.seed, items
    return None
