"""Files in torch's format, read as data alone: whoever made one, reading it runs no code of it."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

from .errors import UserError


class MoreThanData(UserError):
    """A file that could run its author's code if it were read whole."""


def load(path: Path) -> Any:
    """What `torch.save` wrote of tensors, numbers, texts and collections of them, on the CPU.

    Raises:
        MoreThanData: the file asks for more than that.
        Exception: it is damaged, or of another format; torch has many words for it.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats, which the refusal names
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        if what := more_than_data(path, error):
            raise MoreThanData(
                f"{path} holds more than data ({what}), and reading that could run its author's code: it was not read"
            ) from error
        raise


def more_than_data(path: Path, error: Exception) -> str:
    """What a file wants beside data, by torch's refusal of it; empty where that was for something else."""
    if found := re.search(r"GLOBAL ([\w.]+)|(TorchScript archive)|(legacy \.tar format)", str(error)):
        return next(filter(None, found.groups()))
    with path.open("rb") as file:
        return "pickled objects" if isinstance(error, pickle.UnpicklingError) and file.read(1) in b"\x80P" else ""
