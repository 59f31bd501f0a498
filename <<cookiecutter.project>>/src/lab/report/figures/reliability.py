"""How sure a model is, and how often it is right then: a reliability diagram of tables with a row a bin of confidence.

DeGroot and Fienberg, The comparison and evaluation of forecasters, The Statistician 32, 1983; Guo, Pleiss, Sun and
Weinberger, On calibration of modern neural networks, ICML 2017.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any

from lab.analysis.resampling import score_interval
from lab.report.figures.colours import coloured
from lab.report.figures.drawing import DASHED, GREY, Picture, bar, canvas, marks, words

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.study import Study


def reliability(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """Of each arm, as far as there are colours: else of the reference and the best."""
    arms = {
        arm: [each.record.text(entry.output) for each in replicates if each.finished and entry.output]
        for arm, replicates in study.arms.items()
    }
    if len(arms) > 1 and len({tuple(texts) for texts in arms.values() if any(texts)}) < 2:
        return  # not about what the design varies
    colours = coloured(study, verdict)
    yield reliability_of(entry, {arm: arms[arm] for arm in colours}, colours)


def reliability_of(entry: Figure, arms: Mapping[str, Sequence[str]], colours: Mapping[str, str]) -> Picture:
    """One line an arm, of the tables of its runs: a bin's upper end, mean confidence, share that is right, count."""
    import pandas as pd

    labels = words(entry, table="The reliability diagram", title="how often the model is right, by its confidence")
    found: dict[str, list[Any]] = {
        arm: [frame for text in texts if len(frame := _read(text))] for arm, texts in arms.items()
    }
    found = {arm: frames for arm, frames in found.items() if frames}
    if not found:
        return Picture(entry.file, f"{labels['table']} is not shown: no run has recorded one.")
    width = _width({end for frames in found.values() for frame in frames for end in frame["bin"]})
    if width is None:
        return Picture(entry.file, f"{labels['table']} is not shown: its first column has no numbers, the bins' ends.")
    beside = 0.8 * width / len(found)  # the arms' bars, with room to those of the next bin
    figure, (above, below) = canvas(5.2, 2, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=DASHED, label="as sure as it is right")
    tables = []
    for i, (arm, frames) in enumerate(found.items()):
        colour = colours[arm]
        table = _pooled(frames)
        gap = sum(float((frame["count"] * (frame["right"] - frame["confidence"]).abs()).sum()) for frame in frames)
        gap /= sum(float(frame["count"].sum()) for frame in frames)
        told = f"{arm}, calibration error {gap:.3f}" if len(found) > 1 else f"calibration error {gap:.3f}"
        (line,) = above.plot(table["confidence"], table["right"], "o-", color=colour, lw=1.6, ms=4.5, label=told)
        rows: list[Any] = list(table.itertuples(index=False))
        marks.tell(line, [f"{arm}, confidence {r.confidence:.3f}: {r.right:.3f} right, of {r.count:g}" for r in rows])
        for row in rows:
            bar(above, (row.confidence, row.confidence), (row.low, row.high), colour, 1.2)
        centre = table["bin"] - width / 2 + beside * (i - (len(found) - 1) / 2)
        below.bar(centre, table["count"], beside, color=colour)
        tables.append(table.assign(arm=arm))
    above.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    above.grid(True)
    above.legend(loc="best")
    above.set_title(labels["title"])
    below.set(xlabel="confidence", ylabel="how many")
    several = max(map(len, found.values()))
    over = f" {several} seeds together; how many is the mean of a seed." if several > 1 else ""
    caption = f"Below the dashed line the model is surer than it is right. Bars: the 95 % interval of a share.{over}"
    data: Any = pd.concat(tables, ignore_index=True)
    return Picture(entry.file, caption, data[["arm", *data.columns.drop("arm")]], figure)


def _read(text: str) -> pd.DataFrame:
    """A run's table, by the places of its columns; empty where there is none."""
    import pandas as pd

    names = ["bin", "confidence", "right", "count"]
    if not text:
        return pd.DataFrame(columns=names)
    frame = pd.read_csv(io.StringIO(text), usecols=range(4))
    return frame.set_axis(names, axis="columns")


def _width(ends: Collection[Any]) -> float | None:
    """Of bins that are equally wide, by the upper ends of those that there are; None where these are no numbers."""
    if not all(isinstance(end, Real) and math.isfinite(end) for end in ends):
        return None
    return 1 / math.lcm(*(Fraction(float(end)).limit_denominator(100).denominator for end in ends))


def _pooled(frames: Sequence[Any]) -> pd.DataFrame:
    """The seeds' bins together, by their counts; `count` is the mean one, since all seeds saw the same items."""
    import pandas as pd

    rows = []
    together: Any = pd.concat(frames)
    for name, own in together.groupby("bin", sort=True):
        count, n = float(own["count"].sum()), float(own["count"].sum()) / len(frames)
        right, confidence = (float((own[side] * own["count"]).sum()) / count for side in ("right", "confidence"))
        low, high = score_interval(right, 1.0, max(2, round(n)))
        ends = {"low": max(low, 0.0), "high": min(high, 1.0)}
        rows.append({"bin": name, "confidence": confidence, "right": right, **ends, "count": n})
    return pd.DataFrame(rows)
