"""What drawings of objects share, boxes or masks: how right an image is, its true objects, and names beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.25  # objects from this confidence up are drawn
TRUTH = "truth green and dashed"
OF_TRUTH = {"ec": "#009E73", "lw": 1, "ls": (0, (3, 2))}  # Okabe and Ito's green
PREPARED = "data/prepared/"


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """F1 at IoU 0.5; among equals, the one with the most objects."""
    return frame.assign(score=frame["f1"], surety=frame["objects"].astype(float))


def describe(row: Any) -> str:
    """The image's F1."""
    return f"F1 {row['f1']:.3f}"


def truth(row: Any) -> str:
    """Nothing: the objects are drawn."""
    return ""


def true_objects(row: Any, read: Callable[[str], bytes | None]) -> Iterator[tuple[str, list[float]]]:
    """The class of each object that an image has, empty where nobody knows the names, and its row of the label file."""
    path = row["path"].removeprefix(PREPARED)
    rows = read(str(PurePosixPath(path.replace("/images/", "/labels/")).with_suffix(".txt"))) or b""
    manifest = read("manifest.json")
    classes = json.loads(manifest)["classes"] if manifest else []
    for line in rows.decode().splitlines():
        index, *values = map(float, line.split())
        yield classes[int(index)] if classes else "", values


def label(axes: Any, name: str, place: tuple[float, float], colour: str, ha: str, va: str) -> None:
    """An object's class at a corner of it, in pixels."""
    ground = {"fc": colour, "ec": "none", "pad": 0.8}
    axes.text(*place, str(name), color="white", fontsize=6.5, ha=ha, va=va, bbox=ground, clip_on=True)
