"""Models of other runs: what infer.model and infer.members name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...shared.dependencies import md5_of
from ...shared.environment import project_root
from ...shared.errors import UserError
from ...shared.model_file import ModelFile


def find_model(name: str | None, own: Path) -> tuple[ModelFile, str]:
    """The model that `name` stands for, and its file's MD5 hash. Raises UserError.

    None is this pipeline's own, at `own`. A path to a file, from the project's root, is that file. Anything else is a
    revision (experiment, tag, branch, commit), and the model is what the train stage wrote there: from DVC's cache, or
    from its remote where the cache lacks it.
    """
    if name is None:
        return load(own)
    path = project_root() / name
    if path.is_file():
        return load(path)
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        # Experiments live in the user's repository, not in the temporary copy that a queued one runs in.
        content = dvc.api.read(own.as_posix(), repo=str(project_root()), rev=name, mode="rb")
    except (DvcException, SCMError, FileNotFoundError) as error:
        raise UserError(
            f"no model called {name}: it is no file in {project_root()}, and as a revision it gives: {error}. "
            "Expected a file, or an experiment (dvc exp list -A), tag, branch or commit whose train stage has run"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / own.name
        copy.write_bytes(content)
        return load(copy)


def load(path: Path) -> tuple[ModelFile, str]:
    """A model file and its MD5 hash. Raises UserError."""
    return ModelFile.load(path), md5_of(path)
