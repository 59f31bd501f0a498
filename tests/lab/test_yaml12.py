"""YAML from elsewhere: what is small on disk stays small in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab import yaml12
from lab.contract import file
from lab.design.pipeline import Pipeline
from lab.design.sources import HydraSource, ParamsSource
from lab.errors import UserError
from lab.tracking import settings

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
SQUARE = f"a: &a [{', '.join('x' * 2000)}]\nb: [{', '.join(['*a'] * 2000)}]\n"
SELF = "a: &a [*a]\n"
DEEP = {"flow": "a: " + "[" * 100_000 + "]" * 100_000, "block": "\n".join(" " * n + "a:" for n in range(3000))}
DEEP |= {"items": "- " * 50_000 + "a", "open": "[" * 100_000}


@pytest.mark.parametrize("text", [BOMB, SQUARE, SELF, *DEEP.values()], ids=["bomb", "square", "self", *DEEP])
def test_small_yaml_stays_small(tmp_path: Path, text: str) -> None:
    """Whatever file of a project it stands in: none is built, each is refused in one line."""
    with pytest.raises(yaml.YAMLError) as refused:
        yaml12.load(text)
    assert "\n" not in yaml12.explained(refused.value) and "line" in yaml12.explained(refused.value)
    for parse in (lambda: file.parse(text, "lab.yaml"), lambda: Pipeline.parse(text, "dvc.yaml")):
        with pytest.raises(UserError):
            parse()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="more than"):
        HydraSource(tmp_path / "conf")
    (tmp_path / "conf" / "tracking.yaml").write_text(text)
    with pytest.raises(UserError, match="tracking.yaml"):
        settings.read(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="params.yaml"):
        ParamsSource(tmp_path / "params.yaml")


@given(st.recursive(st.integers(0, 3), lambda inner: st.lists(inner, max_size=4), max_leaves=40))
def test_ordinary_yaml_may_have_aliases(content: object) -> None:
    text = yaml.safe_dump({"a": content, "again": [content, content]})
    assert yaml12.load(text) == {"a": content, "again": [content, content]}
