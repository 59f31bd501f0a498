"""YAML from elsewhere: what is small on disk stays small in memory."""

from pathlib import Path

import pytest
from workspace import Workspace, load

yaml_file, errors, config = load("shared.yaml_file"), load("shared.errors"), load("shared.config")
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
TEXTS = {"bomb": BOMB, "self": "a: &a [*a]\n", "deep": "a: " + "[" * 50_000, "block": "- " * 10_000 + "a"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_small_files_stay_small(text: str, fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh.root)
    Path("params.yaml").write_text(text)
    for read in (lambda: yaml_file.read(Path("params.yaml")), lambda: config.load([])):
        with pytest.raises(errors.UserError, match=r"params.yaml is no readable YAML: [^\n]*$"):
            read()


def test_aliases_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert yaml_file.read(tmp_path / "a.yaml") == {"a": [1, 2], "b": [1, 2]}
