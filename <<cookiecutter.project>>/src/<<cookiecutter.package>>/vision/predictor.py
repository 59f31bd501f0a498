"""What infer, quant and ensembles share: something that turns a batch of images into a network's raw output."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .model_file import ModelFile


class Predictor(Protocol):
    """A network on a backend.

    Called with a batch (N, 3, S, S) float32, as `preprocess` makes it, it gives float32: for classification logits
    (N, classes); for detection (N, 4 + classes, anchors), centre x, centre y, width, height in pixels of the
    S x S image, then a score in [0, 1] for each class.
    """

    model: ModelFile
    backend: str
    device: str
    precision: str

    def __call__(self, batch: np.ndarray) -> np.ndarray: ...


def load_network(model: ModelFile) -> Any:
    """The torch module with its weights, in eval mode, on the CPU."""
    if model.task == "detection":
        from .detection import load_network
    else:
        from .classification import load_network
    return load_network(model)


def preprocess(model: ModelFile, image: np.ndarray) -> np.ndarray:
    """An RGB image (H, W, 3) uint8 as the network wants it: (3, S, S) float32."""
    if model.task == "detection":
        from .detection import preprocess
    else:
        from .classification import preprocess
    return preprocess(model, image)


class TorchPredictor:
    """PyTorch in eager mode, in FP32; detection with its batch norms fused into the convolutions."""

    backend = "torch"
    precision = "fp32"

    def __init__(self, model: ModelFile, device: str = "cpu", threads: int = 1):
        import torch

        torch.set_num_threads(threads)
        self.model = model
        self.device = device
        network = load_network(model)
        if model.task == "detection":
            network = network.fuse(verbose=False)
        self.network = network.to(device=device, memory_format=torch.channels_last).eval()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(batch).to(self.device, memory_format=torch.channels_last)
            output = self.network(images)
        output = output[0] if isinstance(output, (tuple, list)) else output
        return output.float().cpu().numpy()
