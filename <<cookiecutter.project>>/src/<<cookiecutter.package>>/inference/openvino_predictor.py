"""Running a converted model: the predictor of OpenVINO's plugins, and what its folder says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shared import devices, yaml_file
from ..shared.errors import UserError
from ..shared.model_file import ModelFile
from .latency import example
from .predictor import network_of

if TYPE_CHECKING:
    import openvino as ov

NETWORK = (
    "network_openvino_model"  # below models/quant: YOLO's own program knows OpenVINO's folders by the end of their name
)
KEY = "lab"  # our part of metadata.yaml: YOLO's own program makes an attribute of every key at the top
FEEDING = ("image_size", "resize", "interpolation", "mean", "std")  # of ModelFile
DESCRIBED = ("task", "name", "classes", *FEEDING, "epoch", "metrics", "engine")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Our part of metadata.yaml. Raises UserError when it is absent or damaged."""
    path = folder / "metadata.yaml"  # of what is not OpenVINO's, or of the network alone
    path = path if path.is_file() else folder / NETWORK / path.name
    if not path.is_file():
        raise UserError(f"{folder} has no converted model: the quant stage makes it, dvc repro quant")
    try:
        return yaml_file.read(path)[KEY]
    except (OSError, UserError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the metadata of a converted model: make it again by dvc repro quant") from error


class OpenVinoPredictor:
    """A network on one of OpenVINO's devices; a Predictor.

    On the CPU, everything that is not INT8 is computed in FP32: left alone, OpenVINO computes even FP32 models in
    bfloat16 where the processor can (AMX, AVX512-BF16), and a comparison of precisions would be one in name only.
    """

    backend = "openvino"

    def __init__(
        self, network: ov.Model, model: ModelFile, precision: str, threads: int = 1, device: str = "auto"
    ) -> None:
        self.plugin = devices.openvino_device(device, "quant.device")
        self.device = self.plugin.lower()
        self.network = network
        self.model = model
        self.precision = precision
        self.threads = threads
        self.inference_precision = ""  # what OpenVINO says that it computes in, once it has compiled
        self._joined = network_of(model).joined
        self._requests: dict[int, ov.InferRequest] = {}

    @classmethod
    def load(cls, folder: Path, threads: int = 1, device: str = "auto") -> OpenVinoPredictor:
        """The predictor for what `write` wrote. Raises UserError when a file is absent or damaged."""
        import openvino as ov

        metadata = read_metadata(folder)
        file = (folder if folder.name == NETWORK else folder / NETWORK) / "model.xml"
        try:
            network = ov.Core().read_model(file)
        except RuntimeError as error:
            raise UserError(f"{file} is not a readable OpenVINO model: {error}") from error
        model = ModelFile(
            architecture="openvino", state_dict={}, **{k: metadata[k] for k in DESCRIBED if k in metadata}
        )
        return cls(network, model, metadata["precision"], threads, device)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        size = len(batch)
        if size not in self._requests:
            self._requests[size] = self.compile(size, "LATENCY").create_infer_request()
        outputs = self._requests[size].infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
        return self._joined(outputs.to_tuple())

    def compile(self, batch_size: int, hint: str) -> ov.CompiledModel:
        """The network for one batch size, tuned for `LATENCY` or `THROUGHPUT`.

        Static shapes, because the CPU's plugin crashes with dynamic ones on INT8 and AMX (openvino#37577), and the
        NPU's takes no others.

        Raises:
            UserError: on the CPU, OpenVINO would not compute in FP32.
        """
        import openvino as ov

        network = self.network.clone()
        network.reshape([batch_size, *network.input(0).partial_shape.to_shape()[1:]])
        settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
        if self.plugin == "CPU":
            settings |= {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self.threads,
                "ENABLE_CPU_PINNING": False,  # two stages side by side would share a core, at a quarter of the speed
            }
        compiled = ov.Core().compile_model(network, self.plugin, settings)
        actual = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if self.plugin == "CPU" and actual != "f32":
            raise UserError(
                f"OpenVINO computes in {actual} although f32 was asked for: precisions can't be compared here"
            )
        self.inference_precision = actual
        return compiled

    def throughput(self, images: int) -> tuple[Callable[[], float], int]:
        """One round of asynchronous inference, image by image, and how many requests are in flight.

        The round gives images a second. The requests take turns, and each is waited for before it starts again:
        OpenVINO's own AsyncInferQueue can hang.
        """
        compiled = self.compile(1, "THROUGHPUT")
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        requests = [compiled.create_infer_request() for _ in range(count)]
        batch = example(self.model.image_size, 1)

        def one_round() -> float:
            start = time.perf_counter()
            for i in range(images):
                request = requests[i % count]
                request.wait()
                request.start_async({0: batch}, share_inputs=True)
            for request in requests:
                request.wait()
            return images / (time.perf_counter() - start)

        return one_round, count
