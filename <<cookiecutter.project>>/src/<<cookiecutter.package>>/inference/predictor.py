"""What infer, quant and ensembles share: something that turns a batch of images into a network's raw output."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..shared import registry
from ..shared.model_file import ModelFile
from ..shared.protocols import Network


class Predictor(Protocol):
    """A network on a backend.

    Called with a batch (N, 3, S, S) float32, as `preprocess` makes it, it gives the network's raw output as float32,
    for the engine's `postprocess`.
    """

    model: ModelFile
    backend: str
    device: str
    precision: str

    def __call__(self, batch: np.ndarray) -> np.ndarray: ...


def network_of(model: ModelFile) -> Network:
    """The code that knows a model's kind of network."""
    return registry.network(model.task, model.engine)


def load_network(model: ModelFile) -> Any:
    """The torch module with its weights, in eval mode, on the CPU."""
    network = network_of(model).build(model.architecture, model.classes)
    network.load_state_dict(model.state_dict)
    return network.eval()


def preprocess(model: ModelFile, image: np.ndarray) -> np.ndarray:
    """An RGB image (H, W, 3) uint8 as the network wants it: (3, S, S) float32."""
    return network_of(model).preprocess(model, image)


class TorchPredictor:
    """PyTorch in eager mode, in FP32."""

    backend = "torch"
    precision = "fp32"

    def __init__(self, model: ModelFile, device: str = "cpu", threads: int = 1):
        import torch

        torch.set_num_threads(threads)
        self.model = model
        self.device = device
        kind = network_of(model)
        network, self._joined = kind.fuse(load_network(model)), kind.joined
        self.network = network.to(device=device, memory_format=torch.channels_last).eval()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(batch).to(self.device, memory_format=torch.channels_last)
            output = self.network(images)
        outputs = output if isinstance(output, tuple) else (output,)
        return self._joined([each.float().cpu().numpy() for each in outputs])
