"""A model in OpenVINO's format: conversion, its folder on disk, and the predictor that runs it on the CPU.

models/quant/
    model.xml, model.bin    the network, for one image; other batch sizes are compiled as they come
    metadata.yaml           what a reader has to know; on top what the engine's own programs read
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ...inference.latency import example
from ...inference.predictor import load_network, network_of
from ...shared import yaml_file
from ...shared.errors import UserError
from ...shared.model_file import ModelFile

if TYPE_CHECKING:
    import openvino as ov

KEY = "lab"  # our part of metadata.yaml: Ultralytics makes an attribute of every key at the top
DESCRIBED = ("task", "name", "classes", "image_size", "mean", "std", "epoch", "metrics", "engine")  # of ModelFile


def convert(model: ModelFile) -> ov.Model:
    """The network in OpenVINO's form, in FP32, for one image; its batch can be reshaped."""
    import openvino as ov
    import torch

    network = network_of(model).exportable(load_network(model))
    shape = [1, 3, model.image_size, model.image_size]
    blank = torch.zeros(shape)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that it fixes
        network(blank)  # a detection head computes its anchors on the first call: not part of the trace
        traced = torch.jit.trace(network, blank, strict=False, check_trace=False)
        converted = ov.convert_model(traced, example_input=blank, input=[-1, *shape[1:]])
    converted.reshape(shape)
    return converted


def write(network: ov.Model, model: ModelFile, folder: Path, precision: str, facts: dict[str, Any]) -> None:
    """Write model.xml, model.bin and metadata.yaml.

    Args:
        network: the converted, and where wanted quantized, network.
        model: what it was made of.
        folder: is created.
        precision: `fp32`, `fp16` (weights are stored in 16 bits and computed with in 32) or `int8`.
        facts: more for our part of metadata.yaml.
    """
    import openvino as ov

    folder.mkdir(parents=True, exist_ok=True)
    renumber(network)
    ov.save_model(network, folder / "model.xml", compress_to_fp16=precision == "fp16")
    write_metadata(model, folder, {"backend": "openvino", "precision": precision} | facts)


def renumber(network: ov.Model) -> None:
    """Number the names of OpenVINO's own making, such as Constant_94037, from 0: the same network gives the same bytes.

    They count what the process has made so far, and so depend on how many threads have helped.
    """
    network.set_friendly_name("network")
    numbers: dict[str, int] = {}
    for operation in network.get_ordered_ops():
        name = operation.get_friendly_name()
        if match := re.match(r"([A-Za-z]+_)(\d+)(.*)", name):
            number = numbers.setdefault(match[2], len(numbers))
            operation.set_friendly_name(f"{match[1]}{number}{match[3]}")


def write_metadata(model: ModelFile, folder: Path, facts: dict[str, Any]) -> None:
    """Write metadata.yaml: what of `model` a predictor needs, and `facts`; above them what other programs expect."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {KEY: {key: getattr(model, key) for key in DESCRIBED} | facts}
    metadata = network_of(model).metadata(model) | metadata
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True))


def read_metadata(folder: Path) -> dict[str, Any]:
    """Our part of metadata.yaml. Raises UserError when it is absent or damaged."""
    path = folder / "metadata.yaml"
    try:
        return yaml_file.read(path)[KEY]
    except (OSError, UserError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the metadata of a converted model: make it again by dvc repro quant") from error


class OpenVinoPredictor:
    """A network on OpenVINO's CPU plugin; a Predictor.

    Everything that is not INT8 is computed in FP32: left alone, OpenVINO computes even FP32 models in bfloat16 where
    the processor can (AMX, AVX512-BF16), and a comparison of precisions would be one in name only.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(self, network: ov.Model, model: ModelFile, precision: str, threads: int = 1) -> None:
        self.network = network
        self.model = model
        self.precision = precision
        self.threads = threads
        self.inference_precision = ""  # what OpenVINO says that it computes in, once it has compiled
        self._requests: dict[int, ov.InferRequest] = {}

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OpenVinoPredictor:
        """The predictor for what `write` wrote. Raises UserError when a file is absent or damaged."""
        import openvino as ov

        metadata = read_metadata(folder)
        try:
            network = ov.Core().read_model(folder / "model.xml")
        except RuntimeError as error:
            raise UserError(f"{folder / 'model.xml'} is not a readable OpenVINO model: {error}") from error
        model = ModelFile(
            architecture="openvino", state_dict={}, **{k: metadata[k] for k in DESCRIBED if k in metadata}
        )
        return cls(network, model, metadata["precision"], threads)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        size = len(batch)
        if size not in self._requests:
            self._requests[size] = self.compile(size, "LATENCY").create_infer_request()
        outputs = self._requests[size].infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
        return outputs[0]

    def compile(self, batch_size: int, hint: str) -> ov.CompiledModel:
        """The network for one batch size, tuned for `LATENCY` or `THROUGHPUT`.

        Static shapes, because the plugin crashes with dynamic ones on INT8 and AMX (openvino#37577).

        Raises:
            UserError: OpenVINO would not compute in FP32.
        """
        import openvino as ov

        network = self.network.clone()
        network.reshape([batch_size, *network.input(0).partial_shape.to_shape()[1:]])
        settings = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.threads,
            "ENABLE_CPU_PINNING": False,  # two stages side by side would share a core, at a quarter of the speed
        }
        compiled = ov.Core().compile_model(network, "CPU", settings)
        actual = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if actual != "f32":
            raise UserError(
                f"OpenVINO computes in {actual} although f32 was asked for: precisions can't be compared here"
            )
        self.inference_precision = actual
        return compiled

    def throughput(self, images: int) -> tuple[Callable[[], float], int]:
        """One round of asynchronous inference, image by image, and how many requests are in flight.

        The round gives images a second. The requests take turns, and each is waited for before it starts again:
        OpenVINO's own AsyncInferQueue can hang (ultralytics#25923).
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
