"""Models of other runs: what infer.model, infer.members and predict.py's --model name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..shared import yaml_file
from ..shared.dependencies import md5_of
from ..shared.environment import project_root
from ..shared.errors import UserError
from ..shared.model_file import ModelFile

CHAMPION = "champion"
CHAMPIONS = Path("models/champion/champion.dvc")  # which files it has; the first is its model


def find_model(name: str | None, own: Path) -> tuple[ModelFile, str]:
    """The model that `name` stands for, and its file's MD5 hash. Raises UserError.

    None is this pipeline's own, at `own`. `champion` is what lab promote made it. A path to a file, from the project's
    root, is that file. Anything else is a revision (experiment, tag, branch, commit), and the model is what the train
    stage wrote there: from DVC's cache, or from its remote where the cache lacks it.
    """
    if name is None:
        return load(own)
    path = project_root() / name
    if path.is_file():
        return load(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / own.name
        if name == CHAMPION:
            fetch(champion_outputs()[0], copy, None, name)
        else:
            fetch(own, copy, name, name)
        return load(copy)


@contextmanager
def variant_folder(name: str | None, own: Path) -> Iterator[Path]:
    """The folder that the quant stage of the run `name` wrote, as `find_model` finds its model. Raises UserError."""
    if name is None:
        yield own
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / own.name
        if name == CHAMPION:
            variants = champion_outputs()[1:]
            if not variants:
                raise UserError("the champion was promoted without a converted model: take --backend torch")
            fetch(variants[0], copy, None, name)
        else:
            fetch(own, copy, name, name)
        yield copy


def has_champion() -> bool:
    """Whether a model was promoted here."""
    return CHAMPIONS.is_file()


def champion_outputs() -> list[Path]:
    """The champion's files and folders, its model first. Raises UserError where there is none."""
    if not has_champion():
        raise UserError("there is no champion yet: lab promote DESIGN makes one")
    outs: Any = yaml_file.read(CHAMPIONS)["outs"]
    return [CHAMPIONS.parent / out["path"] for out in outs]


def fetch(output: Path, to: Path, revision: str | None, name: str) -> None:
    """Copy an output of DVC's, of a revision or (None) of this checkout, to `to`. Raises UserError."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    # Experiments live in the user's repository, not in the temporary copy that a queued one runs in.
    root = project_root() if revision else Path.cwd()
    try:
        files = DVCFileSystem(str(root), rev=revision)
        files.get(output.as_posix(), str(to), recursive=files.isdir(output.as_posix()))
    except (DvcException, SCMError, FileNotFoundError) as error:
        raise UserError(
            f"no model called {name}: it is no file in {project_root()}, and as a revision it gives: {error}. "
            f"Expected a file, or an experiment (dvc exp list -A), tag, branch or commit that has {output}"
        ) from error


def load(path: Path) -> tuple[ModelFile, str]:
    """A model file and its MD5 hash. Raises UserError."""
    return ModelFile.load(path), md5_of(path)
