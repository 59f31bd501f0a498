"""The weights in a file, whoever wrote it: ours, safetensors, or a state dict of torch's. Read as data alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..shared import torch_file
from ..shared.errors import UserError
from ..shared.file_kinds import described
from ..shared.model_file import ModelFile

INSIDE = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "net", "weights")
SIGN = 512  # bytes, in which a file tells what it is
REMEDY = (
    ". Ask for a .safetensors file or a state dict; or, where you trust the author, make one in Python: "
    "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pt'), where 'state_dict' is the "
    "checkpoint's name for it; a whole network has it as network.state_dict()"
)


def read(path: Path, objects: Callable[[Path], Any] | None = None) -> dict[str, Any]:
    """The tensors in a file by their names.

    `objects` reads an engine's own checkpoints, in which there are objects: from a list of classes that run nothing.
    Raises UserError.
    """
    if path.suffix == ".safetensors":
        return tensors(path, _safetensors(path))
    try:
        content = torch_file.load(path)
    except torch_file.MoreThanData as refusal:
        content = objects(path) if objects else None
        if content is None:
            raise UserError(f"model.weights: {refusal}{REMEDY}") from refusal
    except Exception as error:
        raise UserError(f"model.weights={path} is {_other(path) or f'damaged ({type(error).__name__})'}") from error
    if ModelFile.is_ours(content):
        return ModelFile.load(path).state_dict
    return tensors(path, content)


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        raise UserError(f"model.weights={path} is {_other(path) or f'damaged ({error})'}") from error


def _other(path: Path) -> str:
    """What a file is in place of weights; empty where nothing tells, or for an archive, as torch's files are."""
    with path.open("rb") as file:
        what = described(file.read(SIGN))
    return f"no file of weights but {what}" if what and not what.startswith("an archive") else ""


def tensors(path: Path, content: Any) -> dict[str, Any]:
    """The state dict in what a file holds: the averaged weights first, where a checkpoint has two. Raises UserError."""
    import torch

    if isinstance(content, torch.nn.Module):
        return content.float().state_dict()
    if isinstance(content, Mapping):
        for name in INSIDE:
            if isinstance(content.get(name), Mapping | torch.nn.Module):
                return tensors(path, content[name])
        found = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
        if found:
            return found
    raise UserError(
        f"model.weights={path} holds no state dict: expected tensors by name, or one in {', '.join(INSIDE)}"
    )


def renamed(weights: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
    """Weights under a network's `own` names, where all of them only lack, or only have, a prefix such as `module.`."""
    candidates = [weights]
    while first := _shared(candidates[-1]):
        candidates.append({name.removeprefix(first): value for name, value in candidates[-1].items()})
    if first := _shared(own):
        candidates.append({first + name: value for name, value in weights.items()})
    return max(candidates, key=lambda named: len(named.keys() & set(own)))


def _shared(names: Collection[str]) -> str:
    """What all names begin with, up to their first dot; empty where they differ."""
    first = {name.partition(".")[0] + "." for name in names}
    return first.pop() if len(first) == 1 and all("." in name for name in names) else ""
