"""Weights to start a network from: ours, or a state dict of torch's or safetensors'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm

from ...shared.errors import UserError
from ...training.weights import own_weights


def read_weights(path: Path) -> dict[str, Any]:
    """The state dict in a file. Raises UserError."""
    weights = own_weights(path)
    if weights is not None:
        return weights
    try:
        return timm.models.load_state_dict(str(path))
    except Exception as error:
        raise UserError(f"model.weights={path} is damaged or holds no state dict ({type(error).__name__})") from error
