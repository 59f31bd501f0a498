"""A model in OpenVINO's format: conversion, and its folder on disk, which inference/openvino_predictor.py reads.

models/quant/
    model.xml, model.bin        takes images as they are: preprocessing and names inside, for programs without this code
    network_openvino_model/     the network alone, for preprocessed images: what is measured here, and what
        model.xml, model.bin    an engine's own programs load; for one image, other sizes are compiled as they come
        metadata.yaml           what a reader has to know; on top what the engine's own programs read
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...inference.openvino_predictor import DESCRIBED, KEY, NETWORK
from ...inference.predictor import load_network, network_of
from ...shared.model_file import ModelFile

if TYPE_CHECKING:
    import openvino as ov


def convert(model: ModelFile) -> ov.Model:
    """The network in OpenVINO's form, in FP32, for one image; its batch can be reshaped."""
    import openvino as ov
    import torch

    network = network_of(model).fuse(load_network(model))
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
    """Write the files of `folder`, which is created.

    Args:
        network: the converted, and where wanted quantized, network.
        model: what it was made of.
        folder: such as models/quant.
        precision: `fp32`, `fp16` (weights are stored in 16 bits and computed with in 32) or `int8`.
        facts: more for our part of metadata.yaml.
    """
    import openvino as ov

    alone = folder / NETWORK
    alone.mkdir(parents=True, exist_ok=True)
    renumber(network)
    ov.save_model(network, alone / "model.xml", compress_to_fp16=precision == "fp16")
    write_metadata(model, alone, {"backend": "openvino", "precision": precision} | facts)
    whole = network_of(model).for_images(model, network.clone())
    describe(whole, model)
    renumber(whole)
    ov.save_model(whole, folder / "model.xml", compress_to_fp16=precision == "fp16")


def describe(network: ov.Model, model: ModelFile) -> None:
    """Write into the network what it is: `lab/classes`, `lab/image_size` as JSON, labels for Intel's Model API."""
    network.set_rt_info(json.dumps(model.classes), ["lab", "classes"])
    network.set_rt_info(json.dumps(model.image_size), ["lab", "image_size"])
    network.set_rt_info(model.task, ["lab", "task"])
    network.set_rt_info(model.name, ["lab", "model"])
    network.set_rt_info(" ".join(name.replace(" ", "_") for name in model.classes), ["model_info", "labels"])


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
