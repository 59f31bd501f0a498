"""A model in ONNX's format: models/quant/model.onnx with its metadata inside, and metadata.yaml for our own reader."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from ...inference.openvino_predictor import FEEDING
from ...inference.predictor import load_network, network_of
from ...shared.errors import UserError
from ...shared.model_file import ModelFile
from .openvino_model import write_metadata

OPSET = 17  # every runtime of the last years reads it


def write(model: ModelFile, folder: Path, facts: dict[str, Any]) -> None:
    """Convert the network in FP32, for any number of preprocessed images, and write it. Raises UserError.

    Its metadata has the task, the classes as JSON, how images are fed, and what the engine's programs look for.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError("onnx is not installed: make setup") from error
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    network = network_of(model).fuse(load_network(model))
    blank = torch.zeros(1, 3, model.image_size, model.image_size)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that it fixes
        first = network(blank)  # a detection head computes its anchors on the first call: not part of the trace
        names = [f"output{index}" for index in range(len(first))] if isinstance(first, tuple) else ["output"]
        torch.onnx.export(
            network,
            (blank,),
            folder / "model.onnx",
            input_names=["images"],
            output_names=names,
            dynamic_axes={name: {0: "batch"} for name in ("images", *names)},
            opset_version=OPSET,
            dynamo=False,  # the exporter of now; the other one writes source paths into the file
        )
    described = {key: getattr(model, key) for key in ("task", "name", "classes", *FEEDING)}
    entries = {f"lab.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in described.items()}
    entries |= {key: str(value) for key, value in network_of(model).metadata(model).items()}
    content = onnx.load(folder / "model.onnx")
    onnx.helper.set_model_props(content, entries)
    onnx.save(content, folder / "model.onnx")
    write_metadata(model, folder, {"backend": "onnx", "precision": "fp32"} | facts)
