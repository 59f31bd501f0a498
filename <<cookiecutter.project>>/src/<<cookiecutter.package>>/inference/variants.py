"""What the quant stage wrote, opened with what runs it."""

from __future__ import annotations

from pathlib import Path

from ..shared.errors import UserError
from .onnx_predictor import OnnxPredictor
from .openvino_predictor import OpenVinoPredictor, read_metadata


def load_variant(folder: Path, threads: int = 1, device: str = "auto") -> OpenVinoPredictor | OnnxPredictor:
    """The predictor of a folder such as models/quant. Raises UserError where it has no converted network."""
    backend = read_metadata(folder)["backend"]
    if backend == "openvino":
        return OpenVinoPredictor.load(folder, threads, device)
    if backend == "onnx":
        return OnnxPredictor.load(folder, threads)
    raise UserError(f"{folder} holds no converted network: quant=torch_fp32 leaves the model as it is, in models/")
