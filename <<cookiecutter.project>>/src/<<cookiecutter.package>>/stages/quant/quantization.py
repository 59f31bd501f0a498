"""A trained model as an OpenVINO variant: FP32, FP16, or INT8 by NNCF's post-training quantization.

INT8 is calibrated on images of the training split, and its accuracy limit, where one is set, is held on the validation
split. The test split is kept for the comparison afterwards.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from ...inference import evaluation
from ...inference.openvino_predictor import OpenVinoPredictor
from ...inference.predictor import Predictor, network_of, preprocess
from ...shared import registry
from ...shared.errors import UserError, nearest
from ...shared.model_file import ModelFile
from ...shared.prepared import Item, Prepared, read_image
from .openvino_model import convert, write

if TYPE_CHECKING:
    import openvino as ov

CHOICES = {
    "backend": ("openvino", "onnx", "torch"),
    "precision": ("fp32", "fp16", "int8"),
    "preset": ("mixed", "performance"),
}


def check(quant: DictConfig) -> None:
    """Refuse a variant that there is not. Raises UserError."""
    for key, allowed in CHOICES.items():
        if quant[key] not in allowed:
            close = nearest(str(quant[key]), allowed)
            raise UserError(f"quant.{key}={quant[key]} is not one of {', '.join(allowed)}.{close}")
    if quant.backend != "openvino" and (quant.precision != "fp32" or quant.device.lower() != "cpu"):
        raise UserError(
            f"quant.backend={quant.backend} is FP32 on the CPU: quant.precision={quant.precision} and "
            f"quant.device={quant.device} need quant.backend=openvino"
        )


def build(cfg: DictConfig, model: ModelFile, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Make the OpenVINO variant that cfg.quant asks for, and write it to `folder`.

    Returns:
        What is worth recording: `calibration_images`, and for INT8 `quantized_layers`, for INT8 within a limit also
        the validation metrics of before and after.

    Raises:
        UserError: an empty calibration set, or a max_drop that INT8 can't keep.
    """
    network = convert(model)
    facts: dict[str, Any] = {"calibration_images": 0}
    if cfg.quant.precision == "int8":
        items = calibration_items(prepared, cfg.data.site, cfg.quant.calibration_images, cfg.seed)
        facts = {"calibration_images": len(items), "calibration_sha256": digest(items, prepared.root)}
        if cfg.quant.max_drop is None:
            network = quantize(network, model, items, cfg.quant.preset)
        else:
            network, kept = quantize_within(network, model, items, prepared, cfg)
            facts |= kept
        facts["quantized_layers"] = quantized_layers(network)
    facts["versions"] = {name: importlib.metadata.version(name) for name in ("openvino", "nncf", "torch")}
    write(network, model, folder, cfg.quant.precision, facts)
    return facts


def calibration_items(prepared: Prepared, site: str | Sequence[str], count: int, seed: int) -> list[Item]:
    """`count` images of the training split, evenly spread over its sites and classes, the same for the same seed.

    A systematic sample: the split in order of path, cut into `count` equal parts, and the image at one and the same
    random place of each. Fewer images than `count`: all of them.

    Raises:
        UserError: there would be no image.
    """
    if count < 1:
        raise UserError(f"the calibration set is empty: quant.calibration_images={count}, INT8 needs some, such as 160")
    items = prepared.items("train", site)
    count = min(count, len(items))
    place = random.Random(seed).random()
    return [items[int((i + place) * len(items) / count)] for i in range(count)]


def digest(items: Sequence[Item], root: Path) -> str:
    """The SHA-256 of the images' paths below `root`: it tells two calibration sets apart."""
    return hashlib.sha256("\n".join(item.path.relative_to(root).as_posix() for item in items).encode()).hexdigest()


def quantize(network: ov.Model, model: ModelFile, items: Sequence[Item], preset: str) -> ov.Model:
    """INT8 weights and activations by NNCF's post-training quantization.

    Args:
        network: in FP32.
        model: what it was converted from; it says how to preprocess.
        items: the calibration images.
        preset: `mixed` (asymmetric activations, more accurate with SiLU) or `performance` (symmetric ones).
    """
    silence()
    import nncf

    return nncf.quantize(network, dataset(model, items), **settings(network, model, len(items), preset))


def quantize_within(
    network: ov.Model, model: ModelFile, items: Sequence[Item], prepared: Prepared, cfg: DictConfig
) -> tuple[ov.Model, dict[str, float]]:
    """INT8, with the layers that cost most accuracy put back to FP32 until cfg.quant.max_drop is kept.

    The drop is absolute, in the task's first main metric, on the validation split of cfg.data.site.

    Returns:
        The network, and its metric before (`val_fp32`) and after (`val_int8`).

    Raises:
        UserError: not even with every layer back in FP32, or only so.
    """
    metric, limit = registry.task(model.task).MAIN_METRICS[0], cfg.quant.max_drop
    sign = registry.sign(model.task, metric)
    images = prepared.items("val", cfg.data.site)

    def score(predictor: Predictor) -> float:
        predictions = evaluation.predict(predictor, images, cfg.infer.batch_size)
        return evaluation.score(prepared, images, predictions).metrics[metric]

    def validate(compiled: ov.CompiledModel, _: Any) -> tuple[float, list[float]]:
        # A number for each image makes NNCF rank the layers by the metric. Given outputs it ranks by their error, and
        # then takes the layers that leave the largest error for the ones to put back (3.4, accuracy_control/ranker.py).
        return sign * score(OneByOne(model, compiled)), [0.0] * len(images)

    silence()
    import nncf

    quantized = nncf.quantize_with_accuracy_control(
        network,
        dataset(model, items),
        dataset(model, images),
        validate,
        max_drop=limit,
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            ranking_subset_size=len(images), num_ranking_workers=1
        ),
        **settings(network, model, len(items), cfg.quant.preset),
    )
    before, after = (score(OpenVinoPredictor(n, model, cfg.quant.precision)) for n in (network, quantized))
    if sign * (before - after) > limit or not quantized_layers(quantized):
        raise UserError(
            f"INT8 can't keep quant.max_drop={limit}: {metric} on the validation split went from {before:.4f} to "
            f"{after:.4f} with {quantized_layers(quantized)} layers left in INT8. "
            "Allow a larger drop, or use quant=openvino_int8 or quant=openvino_fp16"
        )
    return quantized, {"val_fp32": before, "val_int8": after}


class OneByOne:
    """A Predictor over a network that NNCF has compiled, which takes one image at a time."""

    backend, device, precision = "openvino", "cpu", "int8"

    def __init__(self, model: ModelFile, compiled: ov.CompiledModel) -> None:
        self.model = model
        self.request = compiled.create_infer_request()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        each = [self.request.infer({0: image[np.newaxis]}).to_tuple() for image in batch]
        return network_of(self.model).joined([np.concatenate(parts) for parts in zip(*each, strict=True)])


def settings(network: ov.Model, model: ModelFile, images: int, preset: str) -> dict[str, Any]:
    """What both ways of quantizing are told."""
    import nncf

    return {
        "preset": nncf.QuantizationPreset(preset),
        "subset_size": images,
        "ignored_scope": network_of(model).ignored_scope(network),
    }


def dataset(model: ModelFile, items: Sequence[Item]) -> Any:
    """The images as NNCF takes them: (1, 3, S, S) float32, preprocessed as for prediction, read when needed."""
    import nncf

    return nncf.Dataset(items, lambda item: preprocess(model, read_image(item, needed=model.image_size))[np.newaxis])


def silence() -> None:
    """Errors only from NNCF, and no warning of a CUDA toolkit without a GPU. To be called before its import."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    nncf.set_log_level(logging.ERROR)


def quantized_layers(network: ov.Model) -> int:
    """How many layers keep their weights in INT8: each has one such constant."""
    import openvino as ov

    return sum(
        operation.get_type_name() == "Constant" and operation.get_element_type() == ov.Type.i8
        for operation in network.get_ops()
    )
