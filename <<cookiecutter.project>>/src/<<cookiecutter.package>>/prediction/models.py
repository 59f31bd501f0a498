"""Which model answers, and on what: a model file by torch, or what the quant stage made of one."""

from __future__ import annotations

from pathlib import Path

from ..inference import other_models
from ..inference.openvino_predictor import read_metadata
from ..inference.predictor import Predictor, TorchPredictor
from ..inference.variants import load_variant
from ..shared import devices
from ..shared.errors import UserError

MODEL, VARIANT = Path("models/model.pt"), Path("models/quant")


def open_model(name: str | None, backend: str | None, device: str, threads: int) -> Predictor:
    """The predictor that `--model`, `--backend` and `--device` ask for. Raises UserError."""
    if name and Path(name).is_dir():
        return _variant(Path(name), backend, device, threads)
    name = name or default()
    if backend in (None, "torch"):
        model, _ = other_models.find_model(name, MODEL)
        return TorchPredictor(model, devices.resolve(_index(device), "--device")[0], threads)
    with other_models.variant_folder(name, VARIANT) as folder:
        return _variant(folder, backend, device, threads)


def default() -> str | None:
    """The champion where there is one, else this pipeline's own model."""
    return other_models.CHAMPION if other_models.has_champion() else None


def described(name: str | None, predictor: Predictor) -> str:
    """Which model it is, and what runs it."""
    model = predictor.model
    origin = name or default() or "this pipeline's model"
    return f"{origin} ({model.name}, epoch {model.epoch}) by {predictor.backend} {predictor.precision}"


def _variant(folder: Path, backend: str | None, device: str, threads: int) -> Predictor:
    held = read_metadata(folder)["backend"]
    if held == "openvino":
        device = devices.openvino_device(device, "--device")
    elif held == "onnx" and device.lower() not in ("auto", "cpu"):
        raise UserError(f"--device={device}: ONNX runs on the CPU here: take --device cpu, or another --backend")
    predictor = load_variant(folder, threads, device)
    if backend and predictor.backend != backend:
        raise UserError(
            f"{folder} is for {predictor.backend}, not {backend}: take --backend {predictor.backend}, or make the "
            f"other one by dvc exp run -S quant={'onnx_fp32' if backend == 'onnx' else 'openvino_int8'}"
        )
    return predictor


def _index(device: str) -> str | int:
    return int(device) if device.isdecimal() else device
