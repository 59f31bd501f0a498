"""Where a committed report and what the records give disagree: text, tables, the verdict's numbers, figures."""

from __future__ import annotations

import difflib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.report import report, sections, tables

if TYPE_CHECKING:
    import numpy as np

    from lab.analysis.verdict import Verdict
    from lab.report.figures import Picture
    from lab.study import Study

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# Two drawings of the same figure: what another machine's rounding may change in a square of so many pixels, on its
# mean. With all places off by 1e-7 of themselves it is below 0.002; another digit, or a mark moved by two pixels, gives
# 0.08 up.
SQUARE, ALIKE = 8, 0.06


def differences(study: Study, verdict: Verdict, path: Path, has_items: bool) -> Iterator[str]:
    """All that is not the same in the committed report at `path`, a sentence each.

    Without `has_items`, all but what follows from what was said of each test item.
    """
    from lab.report.figures import pictures

    drawn = pictures(study, verdict)
    checked = [picture for picture in drawn if has_items or not picture.local]
    yield from of_text(study, verdict, path, drawn, has_items)
    yield from of_files(study, verdict, path, checked, has_items)
    yield from of_figures(path, checked)


def of_text(study: Study, verdict: Verdict, path: Path, drawn: Sequence[Picture], has_items: bool) -> Iterator[str]:
    """Of the Markdown, outside of what people write."""
    committed = path.read_text(encoding="utf-8")
    again = report.markdown(study, verdict, drawn, committed)
    yield from lines(path.name, report.outside(committed), report.outside(again))
    if has_items:
        block = report.inside(committed, "images")
        yield from lines(path.name, block, of_items(study, drawn, block))


def of_items(study: Study, drawn: Sequence[Picture], committed: str) -> str:
    """What the report has to say of single test items; as `committed` has it of a picture that can't be drawn here.

    Which items such a picture shows is known (`data`), but not what they look like.
    """

    def text(picture: Picture) -> str:
        lacking = picture.png is None and picture.data is not None
        there = re.search(rf"!\[.*/{re.escape(picture.name)}\.png\)\n\n.*", committed) if lacking else None
        return there[0] if there else sections.shown(picture, report.name(study))

    return "\n\n".join(text(picture) for picture in drawn if picture.local)


def of_files(study: Study, verdict: Verdict, path: Path, checked: Sequence[Picture], has_items: bool) -> Iterator[str]:
    """Of the tables and the verdict's numbers beside the report."""
    beside = path.with_suffix("")
    yield from unknown(path, checked, has_items)
    files = {
        "table.csv": tables.as_csv(tables.table(study, verdict)),
        "verdict.json": report.numbers(study, verdict),
    }
    for picture in checked:
        if picture.data is not None and (picture.png or (beside / f"{picture.name}.csv").exists()):
            files[f"{picture.name}.csv"] = tables.as_csv(picture.data)
    for name, recomputed in sorted(files.items()):
        where = f"{path.stem}/{name}"
        if not (beside / name).exists():
            yield f"{where} is not there"
            continue
        committed = (beside / name).read_text(encoding="utf-8")
        if name.endswith(".json"):
            without = () if has_items else ("images", "both", "shared", "cluster")
            yield from values(where, json.loads(committed), json.loads(recomputed), without)
        else:
            yield from lines(where, committed, recomputed)


def unknown(path: Path, checked: Sequence[Picture], has_items: bool) -> Iterator[str]:
    """Files beside the report that are no part of it. Without `has_items`, those that its block of items shows are."""
    known = {"table.csv", "verdict.json"}
    known |= {
        f"{picture.name}.{ending}" for picture in checked if picture.data is not None for ending in ("png", "csv")
    }
    shown = "" if has_items else report.inside(path.read_text(encoding="utf-8"), "images")
    for file in sorted(path.with_suffix("").iterdir()):
        linked = f"{path.stem}/{file.stem}." in shown
        if file.is_file() and file.name not in known and not linked:
            yield f"{path.stem}/{file.name} is no part of the report"


def of_figures(path: Path, checked: Sequence[Picture]) -> Iterator[str]:
    """Of the figures beside the report."""
    for picture in checked:
        file = path.with_suffix("") / f"{picture.name}.png"
        if picture.png and not file.exists():
            yield f"{path.stem}/{file.name} is not there"
        elif picture.png and not alike(file.read_bytes(), picture.png):
            yield f"{path.stem}/{file.name} is not the figure that the records give"


def lines(where: str, committed: str, recomputed: str) -> Iterator[str]:
    """The lines of a text that differ, by their numbers where it is these."""
    theirs, ours = committed.splitlines(), recomputed.splitlines()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(b - a, d - c)):
            said = theirs[a + i] if a + i < b else ""
            right = ours[c + i] if c + i < d else ""
            numbers = [NUMBER.findall(text) for text in (said, right)]
            wrong = [f"{x}, where the records give {y}" for x, y in zip(*numbers, strict=False) if x != y]
            if wrong and len(numbers[0]) == len(numbers[1]):
                yield f"{where} says {'; '.join(wrong)}: {said.strip()}"
            elif said:
                yield f"{where} says, and the records do not: {said.strip()}"
            else:
                yield f"{where} lacks: {right.strip()}"


def values(where: str, committed: Any, recomputed: Any, without: Sequence[str] = ()) -> Iterator[str]:
    """The values of a JSON document that differ, by their places, but for the keys `without`."""
    if isinstance(committed, dict) and isinstance(recomputed, dict):
        for key in sorted((committed.keys() | recomputed.keys()) - {*without}):
            place = f"{where}.{key}" if ": " in where else f"{where}: {key}"
            yield from values(place, committed.get(key), recomputed.get(key), without)
    elif isinstance(committed, list) and isinstance(recomputed, list) and len(committed) == len(recomputed):
        for i, (said, right) in enumerate(zip(committed, recomputed, strict=True)):
            yield from values(f"{where}[{i}]", said, right, without)
    elif committed != recomputed:
        yield f"{where} is {committed}, where the records give {recomputed}"


def first_number(committed: str, recomputed: str) -> str:
    """`: it says 0.9, where the records give 0.8`, of the first numbers that differ in two texts."""
    pairs = zip(NUMBER.findall(committed), NUMBER.findall(recomputed), strict=False)
    return next((f": it says {x}, where the records give {y}" for x, y in pairs if x != y), "")


def alike(committed: bytes, recomputed: bytes) -> bool:
    """Whether two PNG files show the same figure, whatever machine has drawn it."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    if committed == recomputed:
        return True
    if committed[:24] != recomputed[:24]:  # of another size, which may be one that no memory holds, or no PNG
        return False
    theirs, ours = _pixels(committed), _pixels(recomputed)
    if theirs is None or ours is None or theirs.shape != ours.shape:
        return False
    return bool(np.abs(uniform_filter(theirs - ours, SQUARE, axes=(0, 1))).max() <= ALIKE)


def _pixels(png: bytes) -> np.ndarray | None:
    """The pixels (height, width, channels), from 0 to 1; None where it is no such file."""
    from matplotlib.image import imread

    try:
        return imread(io.BytesIO(png), format="png")
    except Exception:  # Pillow has one of its own for each kind of damage
        return None
