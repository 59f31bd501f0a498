"""Labels that a person, a tool or a disk has damaged: a sentence says so, or the boxes are sound; never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats import BOXES, CLASSED
from test_prepare import config
from workspace import load

auto, errors = load("data.sources.auto"), load("shared.errors")

FORMATS = {name: write for name, (_, write) in {**BOXES, **CLASSED}.items() if name not in ("zip", "folders")}
USUAL = {name: "yolo" if name in BOXES else "image_folder" for name in FORMATS}  # a config of their task
ODD = ["", "nan", "-1", "1e400", "x", "null", "[]", "{}", "0", "é", "\x00", '"', "<", "true", "9" * 400, "../../etc"]
BYTES = st.binary(min_size=0, max_size=4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The data set in each format."""
    root = tmp_path_factory.mktemp("formats")
    for name, write in FORMATS.items():
        write(root / name)
    return {name: root / name for name in FORMATS}


def words(content: bytes) -> list[tuple[int, int]]:
    """Where the words of a text begin and end: what a person may have mistyped, a value or a key."""
    return [found.span() for found in re.finditer(rb"[\w.+-]+", content)]


def replaced(content: bytes, place: int, end: int, by: bytes) -> bytes:
    return content[:place] + by + content[end:]


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What happens to a file: a word of another kind, other bytes, an end that is missing, a line too much."""
    where = draw(st.floats(0, 1, exclude_max=True))
    kind = draw(st.sampled_from(["word", "word", "word", "bytes", "end", "line", "empty", "encoding"]))
    word, some = draw(st.sampled_from(ODD)).encode(), draw(BYTES)

    def of(content: bytes) -> bytes:
        at = int(where * len(content))
        if kind == "word" and (found := words(content)):
            begin, end = found[int(where * len(found))]
            return replaced(content, begin, end, word)
        if kind == "end":
            return content[:at]
        if kind == "line":
            lines = content.splitlines(keepends=True)
            return b"".join([*lines, lines[int(where * len(lines))]]) if lines else b"\n"
        if kind == "encoding":
            return content.decode().encode("utf-16")
        return b"" if kind == "empty" else replaced(content, at, at + len(some), some)

    return of


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FORMATS)), where=st.floats(0, 1, exclude_max=True), change=damage())
def test_damaged_labels_are_told_of(
    sound: dict[str, Path], name: str, where: float, change: Callable[[bytes], bytes]
) -> None:
    check(sound[name], where, change)


@pytest.mark.nightly
@settings(max_examples=1_500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FORMATS)), where=st.floats(0, 1, exclude_max=True), change=damage())
def test_damaged_labels_are_told_of_by_night(
    sound: dict[str, Path], name: str, where: float, change: Callable[[bytes], bytes]
) -> None:
    check(sound[name], where, change)


def check(root: Path, where: float, change: Callable[[bytes], bytes]) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".png")
    file = files[int(where * len(files))]
    content = file.read_bytes()
    file.write_bytes(change(content))
    try:
        dataset = auto.read(config(USUAL[root.name], kind="auto", path=str(root)).data.source)
    except errors.UserError as error:
        assert str(error).strip()
    else:
        for sample in dataset.samples:
            assert np.isfinite(sample.boxes).all() and (sample.boxes[:, 1:] <= 1).all()
            assert set(sample.boxes[:, 0].astype(int)) <= set(range(len(dataset.classes)))
            assert not sample.label or sample.label in dataset.classes
    finally:
        file.write_bytes(content)
