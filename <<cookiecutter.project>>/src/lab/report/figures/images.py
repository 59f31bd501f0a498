"""Single test images: what two models make of them, and where they disagree most; shown where DVC's cache has the images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab.analysis import per_image, statistics
from lab.analysis.estimates import measured, over_seeds
from lab.records.record import FINISHED
from lab.report import tables
from lab.report.figures.arms import comparison
from lab.report.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    VERMILION,
    Picture,
    canvas,
    interval,
    key,
    number,
    png,
    points,
    ruled,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lab.analysis.verdict import Verdict
    from lab.records.record import Record
    from lab.records.study import Row, Study

SHOWN = 8  # images of a figure
CLASSES = 20  # of the figure by class: those that change most
SURE = 0.25  # detections from this confidence up are drawn
PREPARED = "data/prepared"
TRUTH = "truth green and dashed"


def two_models(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Both models' results, their differences by class and by image, and the images on which they disagree most."""
    yield from comparison(study, verdict)
    arms = sorted(study.arms, key=lambda arm: arm != study.reference)
    if len(arms) != 2:
        return
    yield by_class(study, arms[0], arms[1])
    yield from by_image(study, arms[0], arms[1])


def by_class(study: Study, old: str, new: str) -> Picture:
    """The change of each class's F1 or AP50."""
    import pandas as pd

    names = [name for row in study.rows if row.record for name in _classes(row.record, study.design.target)]
    found = []
    for metric in dict.fromkeys(names):
        before, after = (measured(study.arms[arm], metric) for arm in (old, new))
        changes = {seed: after[seed] - before[seed] for seed in after if seed in before}
        if changes:
            estimate = over_seeds(study, metric, changes)
            found.append((metric.split(".", 2)[2].rpartition(".")[0], changes, estimate))
    if not found:
        return Picture("classes", "Differences by class are not shown: the runs have no metrics by class.")
    shown = sorted(found, key=lambda each: -abs(each[2].value))[:CLASSES]
    shown.sort(key=lambda each: each[2].value)
    figure, axes = canvas(1.2 + 0.27 * len(shown))
    for y, (_, changes, estimate) in enumerate(shown):
        low, high = (0.0 if end is None else end for end in (estimate.low, estimate.high))
        colour = BLUE if low > 0 else VERMILION if high < 0 else GREY  # a change that may be chance has none
        points(axes, changes, study.design.seeds, y, colour)
        interval(axes, estimate.value, estimate.low, estimate.high, y, colour)
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(shown)), yticklabels=wrapped(name for name, _, _ in shown), ylabel="class")
    axes.set_ylim(-0.5, len(shown) - 0.5)
    axes.set(xlabel=f"change in {tables.title(names[0].rpartition('.')[2])}, {new} minus {old}")
    axes.set_title("what changes for each class")
    ruled(axes)
    rows = [{"class": name, "change": e.value, "low": e.low, "high": e.high} for name, _, e in found]
    key(figure, any(row["low"] is not None for row in rows))
    shades = f"Blue: better with {new}; orange: worse; grey: it may be chance."
    most = f"The {CLASSES} classes of {len(found)} that change most. " if len(found) > CLASSES else ""
    return Picture("classes", f"{most}{shades}", pd.DataFrame(rows), png(figure))


def _classes(record: Record, stage: str) -> Iterable[str]:
    for name, values in record.metrics.get(stage, {}).get("classes", {}).items():
        key = next((key for key in ("f1", "AP50") if key in values), None)
        if key:
            yield f"{stage}.classes.{name}.{key}"


def by_image(study: Study, old: str, new: str) -> Iterator[Picture]:
    """How often each is better on an image, and where they differ most."""
    stage = study.design.target
    pairs = [(a, b) for a in study.arms[old] for b in study.arms[new] if a.seed == b.seed and _finished(a, b)]
    seen = [(a, b, *(Seen.of(row.record, stage) for row in (a, b) if row.record)) for a, b in pairs]
    there = [(a.seed, one, two) for a, _, one, two in seen if one and two]
    if not there:
        missing = "what the models said of each test image is not in DVC's cache here (dvc pull brings it)."
        yield Picture("per_image", f"Differences by image are not shown: {missing}", local=True)
        return
    merged = [(seed, one.compared(two)) for seed, one, two in there]
    yield _counts(merged, old, new)
    yield _disagreements(there, merged, old, new)


def _finished(*rows: Row) -> bool:
    return all(row.record is not None and row.status == FINISHED for row in rows)


def _counts(merged: Sequence[tuple[int, Any]], old: str, new: str) -> Picture:
    """On how many images the one, the other, or neither is better."""
    import pandas as pd

    rows, notes = [], []
    for seed, frame in merged:
        change = frame["change"]
        rows.append(
            {
                "seed": seed,
                f"{new} better": int((change > 0).sum()),
                "alike": int((change == 0).sum()),
                f"{old} better": int((change < 0).sum()),
            }
        )
        if "correct" in frame:
            found = statistics.mcnemar(frame["correct"] > 0, frame["correct_old"] > 0)
            notes.append(f"seed {seed}: p = {found.p:.2g}")
    table = pd.DataFrame(rows)
    figure, axes = canvas(1.5 + 0.4 * len(rows))
    start = [0] * len(rows)
    for name, colour, ink in zip(table.columns[1:], (BLUE, "#dddddd", VERMILION), ("white", INK, "white"), strict=True):
        axes.barh(range(len(rows)), table[name], left=start, color=colour, height=0.6, label=name)
        for y, count in enumerate(table[name]):
            if count > 0.05 * len(merged[0][1]):
                axes.text(start[y] + count / 2, y, str(count), ha="center", va="center", color=ink)
        start = [before + count for before, count in zip(start, table[name], strict=True)]
    axes.set(
        yticks=range(len(rows)),
        yticklabels=[f"seed {row['seed']}: {row[f'{new} better']} to {row[f'{old} better']}" for row in rows],
        xlabel="test images",
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title("on how many test images which model is better")
    axes.tick_params(left=False)
    figure.legend(loc="outside lower center", ncols=3)
    caption = f"McNemar's exact test of the images that only one has right, {'; '.join(notes)}." if notes else ""
    return Picture("per_image", caption or "Compared by each image's F1 at IoU 0.5.", table, png(figure), local=True)


def _disagreements(
    there: Sequence[tuple[int, Seen, Seen]], merged: Sequence[tuple[int, Any]], old: str, new: str
) -> Picture:
    """The images on which the two differ most over the seeds, as the first seed's models see them."""
    import pandas as pd

    everything = pd.concat(frame.assign(seed=seed) for seed, frame in merged)
    total: Any = everything.groupby("path")[["change", "margin"]].mean()
    differ = total[total["change"] != 0]
    order = differ.assign(size=differ["change"].abs()).sort_values(["size", "margin"], ascending=False, kind="stable")
    half = SHOWN // 2
    chosen = [*order[order["change"] > 0].index[:half], *order[order["change"] < 0].index[:half]]
    if not chosen:
        return Picture("disagreements", f"{new} and {old} agree on every test image.", local=True)
    data = order.loc[chosen].reset_index()
    seeds = {path: most_different(merged, path, order.loc[path, "change"]) for path in chosen}
    models = {seed: (one, two) for seed, one, two in there}
    pictures = {path: image for path in chosen if (image := models[seeds[path]][1].image(path)) is not None}
    if not pictures:
        why = "the prepared images are not in DVC's cache here (dvc pull data/prepared brings them)"
        return Picture("disagreements", f"The images on which they differ most are not shown: {why}.", data, local=True)

    def draw(axes: Axes, path: str) -> None:
        one, two = models[seeds[path]]
        axes.imshow(pictures[path], cmap="gray")
        one.mark(axes, path, VERMILION, "right")
        two.mark(axes, path, BLUE)
        lines = [two.truth(path), f"{new}: {two.said(path)}", f"{old}: {one.said(path)}"]
        colour = BLUE if order.loc[path, "change"] > 0 else VERMILION
        axes.set_title("\n".join(line for line in lines if line), fontsize=8.5, color=colour)

    figure = gallery(list(pictures), draw, lines=3)
    boxes = f" Boxes with their classes: {TRUTH}, {new} blue, {old} orange." if there[0][1].detects else ""
    several = " Of each image, the seed is shown in which they differ most." if len(there) > 1 else ""
    caption = f"Blue titles: {new} is better on the mean of the seeds; orange ones: {old} is.{several}{boxes}"
    return Picture("disagreements", caption, data, png(figure), local=True)


def most_different(merged: Sequence[tuple[int, Any]], path: str, change: float) -> int:
    """The seed in which two models differ most on an image, in the direction of their mean difference."""
    changes = {seed: float(frame.loc[frame["path"] == path, "change"].iloc[0]) for seed, frame in merged}
    return max(changes, key=lambda seed: changes[seed] * (1 if change > 0 else -1))


def samples(finished: Sequence[Record], stage: str) -> Picture:
    """Predictions of the first seed: half of them the worst, half drawn evenly from all."""
    import pandas as pd

    there = ((record, found) for record in finished if (found := Seen.of(record, stage)))
    record, seen = next(there, (None, None))
    if record is None or seen is None:
        why = "what the model said of each test image is not in DVC's cache here (dvc pull brings it)"
        return Picture("samples", f"Sample predictions are not shown: {why}.", local=True)
    frame: Any = seen.frame
    half = SHOWN // 2
    worst = list(frame.sort_values(["score", "surety"], ascending=[True, False], kind="stable")["path"][:half])
    others = frame[~frame["path"].isin(worst)]["path"]
    even = list(others.iloc[:: max(1, len(others) // half)][:half])
    pictures = {path: image for path in (*worst, *even) if (image := seen.image(path)) is not None}
    data = pd.DataFrame({"path": [*worst, *even], "chosen": ["worst"] * len(worst) + ["evenly"] * len(even)})
    if not pictures:
        why = "the prepared images are not in DVC's cache here (dvc pull data/prepared brings them)"
        return Picture("samples", f"Sample predictions are not shown: {why}.", data, local=True)

    def draw(axes: Axes, path: str) -> None:
        axes.imshow(pictures[path], cmap="gray")
        seen.mark(axes, path, BLUE)
        right = seen.row(path)["score"] >= 1
        text = seen.said(path) if seen.detects else f"{seen.row(path)['actual']} → {seen.said(path)}"
        axes.set_title(text, fontsize=8.5, color=INK if right else VERMILION)

    figure = gallery(list(pictures), draw, lines=1)
    titles = "its class, and what it was taken for with which confidence"
    boxes = f"Boxes with their classes: {TRUTH}, prediction blue (from a confidence of {SURE:g} up)."
    marks = boxes if seen.detects else f"Above each image: {titles}."
    whose = f"The model with seed {record.params['seed']}."
    order = "The first row is the worst of all, the others are drawn evenly. Orange: not all right."
    caption = f"{whose} {order} {marks}"
    return Picture("samples", caption, data, png(figure), local=True)


def gallery(paths: Sequence[str], draw: Any, lines: int) -> Any:
    """Images in rows of four."""
    columns = 4
    rows = -(-len(paths) // columns)
    figure, grid = canvas(rows * (1.85 + 0.16 * lines), rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, path in zip(grid.flat, paths, strict=False):
        draw(axes, path)
    return figure


@dataclass(frozen=True)
class Seen:
    """What a run's model said of the test images, and the images themselves.

    `frame` has a row an image: path, `score` (0 to 1: how right it was), `surety`, and the columns of predictions.parquet.
    `files` are the prepared data's, by their paths in it.
    """

    frame: pd.DataFrame
    files: Mapping[str, Path]
    classes: Sequence[str]

    @classmethod
    def of(cls, record: Record, stage: str) -> Seen | None:
        """None where DVC's cache lacks the predictions."""
        import pandas as pd

        path = per_image.predictions(record, stage)
        if path is None:
            return None
        frame = pd.read_parquet(path)
        detects = "boxes" in frame
        frame["score"] = frame["f1"] if detects else frame["correct"].astype(float)
        frame["surety"] = frame["objects"].astype(float) if detects else frame["confidence"]
        files = _prepared(path.parents[1], str(record.outputs.get(PREPARED, {}).get("md5") or ""))
        manifest = files.get("manifest.json")
        classes = json.loads(manifest.read_text())["classes"] if manifest else []
        return cls(frame, files, classes)

    @property
    def detects(self) -> bool:
        """Whether these are detections."""
        return "boxes" in self.frame

    def row(self, path: str) -> Any:
        """An image's row."""
        return self.frame.loc[self.frame["path"] == path].iloc[0]

    def compared(self, other: Seen) -> pd.DataFrame:
        """`other` minus this one: path, `change` of the score, and `margin`, how sure both are together."""
        columns = ["path", "score", "surety", *(["correct"] if not self.detects else [])]
        both = other.frame[columns].merge(self.frame[columns], on="path", suffixes=("", "_old"))
        return both.assign(change=both["score"] - both["score_old"], margin=both["surety"] + both["surety_old"])

    def image(self, path: str) -> Any:
        """The pixels; None where DVC's cache lacks the file."""
        from matplotlib.image import imread

        file = self.files.get(path.removeprefix(f"{PREPARED}/"))
        return imread(file, format=Path(path).suffix.lstrip(".")) if file else None

    def truth(self, path: str) -> str:
        """What is in an image."""
        return "" if self.detects else f"is {self.row(path)['actual']}"

    def said(self, path: str) -> str:
        """What the model said of it."""
        row = self.row(path)
        return f"F1 {number(row['f1'])}" if self.detects else f"{row['predicted']} ({row['confidence']:.2f})"

    def mark(self, axes: Axes, path: str, colour: str, side: Literal["left", "right"] = "left") -> None:
        """Draw the boxes of detections with their classes on a `side`, and those of the truth."""
        from matplotlib.patches import Rectangle

        if not self.detects:
            return
        row, image = self.row(path), axes.images[0].get_array()
        assert image is not None
        height, width = image.shape[:2]
        for box, name, confidence in zip(row["boxes"], row["predicted"], row["confidence"], strict=True):
            if confidence >= SURE:
                x1, y1, x2, y2 = box
                corner, size = (x1 * width, y1 * height), ((x2 - x1) * width, (y2 - y1) * height)
                axes.add_patch(Rectangle(corner, *size, fill=False, ec=colour, lw=1.3))
                x = max(x1, 0.0) if side == "left" else min(x2, 1.0)
                named(axes, name, x * width, max(y1, 0.0) * height, colour, side, "top")
        label = path.removeprefix(f"{PREPARED}/").replace("/images/", "/labels/")
        file = self.files.get(str(Path(label).with_suffix(".txt")))
        for line in file.read_text().splitlines() if file else []:
            index, x, y, w, h = map(float, line.split()[:5])
            corner, size = ((x - w / 2) * width, (y - h / 2) * height), (w * width, h * height)
            axes.add_patch(Rectangle(corner, *size, fill=False, ec=GREEN, lw=1, ls=(0, (3, 2))))
            if self.classes:
                at = (x + w / 2) * width, (y + h / 2) * height
                named(axes, self.classes[int(index)], *at, GREEN, "right", "bottom")


def named(
    axes: Axes, name: str, x: float, y: float, colour: str, ha: Literal["left", "right"], va: Literal["top", "bottom"]
) -> None:
    """A box's class in one of its corners."""
    frame = {"fc": colour, "ec": "none", "pad": 0.8}
    axes.text(x, y, str(name), color="white", fontsize=6.5, ha=ha, va=va, bbox=frame, clip_on=True)


def _prepared(store: Path, md5: str) -> dict[str, Path]:
    """The prepared data's files in DVC's cache, by their paths; without those that are not there."""
    listing = store / md5[:2] / md5[2:]
    if not md5.endswith(".dir") or not listing.is_file():
        return {}
    files = {entry["relpath"]: store / entry["md5"][:2] / entry["md5"][2:] for entry in json.loads(listing.read_text())}
    return {path: file for path, file in files.items() if file.is_file()}
