"""What the contract says of a metric: entries by patterns of names, and what a pattern comes to for one name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lab.contract.base import Model, hook_name

Direction = Literal["maximize", "minimize"]
Hook = Annotated[str, AfterValidator(hook_name)]
Bound = Annotated[float, Field(allow_inf_nan=False)] | None


class MetricEntry(Model):
    """What is known of the metrics whose names a pattern matches. `{0}`, `{1}` … stand for what its `*` matched."""

    title: str | None = None
    """What it is called on an axis; left out, the last part of its name."""
    unit: str | None = None
    """Behind the title: ms, MB."""
    direction: Direction | None = None
    """Which way a model is better. Without it, only a design that says so can claim anything."""
    bounds: Annotated[list[Bound], Field(min_length=2, max_length=2)] | None = None
    """The smallest and the largest value that it can have; null is no bound. Intervals end there."""
    exact: bool = False
    """Counted and not sampled, such as a file's size: no seed and no item changes it by chance."""
    timing: bool = False
    """A speed or a duration: other programs on the machine change it."""
    busy: str | None = None
    """The metric that tells which share of the CPUs other programs took while this one was measured."""
    per_item: Hook | None = None
    """module:function that computes it from what was said of each test item; docs/extend.md shows one."""
    counted_over: list[str] = []
    """Metrics that hold the number of items, or of objects in them, that it is a mean over; the first that is there."""
    by: str | None = None
    """What it is broken down by, such as class."""
    guarded: bool = False
    """Where it gets worse behind a better main metric, `lab promote` objects."""
    shown: bool = True
    """Whether a figure of what it is broken down by shows it."""
    split: Literal["validation", "test"] | None = None
    """Which part of the data it was measured on."""
    tasks: list[str] = []
    """The tasks of which it is measured; left out, of all."""
    twin: str | None = None
    """The metric that measures the same on validation data, at an earlier stage or the same: sweeps choose by it."""

    def templates(self) -> Iterator[tuple[str, str]]:
        """Its texts in which `{0}` stands for something, by the field that has them."""
        texts = [("title", self.title), ("busy", self.busy), ("twin", self.twin)]
        texts += [("counted_over", text) for text in self.counted_over]
        return ((field, text) for field, text in texts if text)


@dataclass(frozen=True)
class Metric:
    """A metric by its full name, with what the contract says of it; `known` is False where it says nothing.

    `low` and `high` are its bounds, None without one. `parts` is what the pattern's `*` matched.
    """

    name: str
    known: bool
    title: str
    unit: str
    direction: Direction | None
    low: float | None
    high: float | None
    exact: bool
    timing: bool
    busy: str
    per_item: str | None
    counted_over: tuple[str, ...]
    by: str
    guarded: bool
    shown: bool
    split: str | None
    twin: str
    tasks: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def label(self) -> str:
        """The title with its unit: `median latency, ms`."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def span(self) -> float:
        """The largest difference of two values that it can have; infinite without two bounds."""
        return math.inf if self.low is None or self.high is None else self.high - self.low


def resolve(entries: Mapping[str, MetricEntry], parts: Mapping[str, str], name: str) -> Metric:
    """What the first entry whose pattern matches says of a metric; of one of some items, what is said of all."""
    for pattern, title in parts.items():
        match = re.fullmatch(rf"{compiled(pattern).pattern}\.([^.]+)", name, re.DOTALL)
        if match:
            *where, key = match.groups()
            whole = resolve(entries, {}, f"{where[0]}.{key}")
            if whole.known:
                return _of_part(whole, name, title, where)
    for pattern, entry in entries.items():
        match = compiled(pattern).fullmatch(name)
        if match:
            return _filled(entry, name, match.groups(), known=True)
    return _filled(MetricEntry(), name, (), known=False)


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression: `*` is any text, also with dots, and the shortest that fits."""
    return re.compile("(.+?)".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _filled(entry: MetricEntry, name: str, parts: tuple[str, ...], known: bool) -> Metric:
    def text(template: str | None) -> str:
        return (template or "").format(*parts)

    low, high = entry.bounds or (None, None)
    return Metric(
        name=name,
        known=known,
        title=text(entry.title) or name.rpartition(".")[2],
        unit=entry.unit or "",
        direction=entry.direction,
        low=low,
        high=high,
        exact=entry.exact,
        timing=entry.timing,
        busy=text(entry.busy),
        per_item=entry.per_item,
        counted_over=tuple(map(text, entry.counted_over)),
        by=entry.by or "",
        guarded=entry.guarded,
        shown=entry.shown,
        split=entry.split,
        twin=text(entry.twin),
        tasks=tuple(entry.tasks),
        parts=parts,
    )


def _of_part(whole: Metric, name: str, title: str, where: Sequence[str]) -> Metric:
    """A metric of some of the items: it is counted over what stands beside it, and measured on no validation data."""
    of_all, beside = f"{where[0]}.", name.rpartition(".")[0] + "."
    return replace(
        whole,
        name=name,
        title=title.format(*where, metric=whole.title),
        counted_over=tuple(beside + over.removeprefix(of_all) for over in whole.counted_over),
        guarded=False,
        twin="",
        parts=tuple(where),
    )
