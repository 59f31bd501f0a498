"""Weights to start a network of torchvision's from: ours, a file of tensors, or those that torchvision offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from ...shared.environment import project_root
from ...shared.errors import UserError
from ...shared.model_file import load_weights
from ...training import state_dict
from ...training.weights import check, weights_file

COUNTERS = "num_batches_tracked"  # of batch norms, which torchvision's frozen ones lack; nothing is computed of them


def start(network: nn.Module, model: DictConfig) -> None:
    """Load the weights that cfg.model names, where it names any. Raises UserError."""
    if not model.weights:
        return
    file = weights_file(model)
    path = file or fetched(model.architecture)
    check(path, model, "pretrained, null or a file")
    own = network.state_dict()
    weights = state_dict.renamed(state_dict.read(path), own)
    weights = {name: value for name, value in own.items() if name.endswith(COUNTERS)} | weights
    load_weights(network, weights, path.name, bool(file and model.strict))  # a pretrained head is for COCO's classes


def fetched(architecture: Any) -> Path:
    """torchvision's COCO weights of an architecture, fetched once for all experiments. Raises UserError."""
    from torch.hub import download_url_to_file
    from torchvision.models import get_model_weights

    if not isinstance(architecture, str):
        raise UserError(
            "model.weights=pretrained: torchvision has weights for its own architectures alone, not for a mapping: "
            "use model=torchvision, model.weights=null or a file"
        )
    url = get_model_weights(architecture).DEFAULT.url  # type: ignore[attr-defined]
    path = project_root() / ".cache" / "weights" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"cannot fetch {path.name} ({error}): put {url} there, {path}, or use model.weights=null"
            ) from error
    return path
