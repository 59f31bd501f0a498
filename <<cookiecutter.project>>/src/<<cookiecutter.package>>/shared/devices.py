"""Which processor a stage runs on."""

from __future__ import annotations

import os

from omegaconf import DictConfig, ListConfig

from .errors import UserError

MOST_WORKERS = 8  # more wait for the disk, and for memory


def resolve(devices: object, key: str) -> list[str]:
    """The torch devices that `devices` asks for: "auto", "cpu", "cuda", a GPU's index or a list of them.

    "auto" is the first GPU where there is one, else the CPU. `key` is the config key, for the message.

    Raises:
        UserError: something else, or a GPU that this machine lacks.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices == "cpu" or (devices == "auto" and not count):
        return ["cpu"]
    asked = [0] if devices in ("auto", "cuda") else list(devices) if isinstance(devices, ListConfig) else [devices]
    indexes = [index for index in asked if isinstance(index, int)]
    if not asked or len(indexes) < len(asked):
        raise UserError(f"{key}={devices} should be auto, cpu, cuda, a GPU's index such as 0, or a list such as [0,1]")
    if not count:
        raise UserError(
            f"{key}={devices} asks for CUDA, but torch finds no GPU here: use {key}=cpu, or check nvidia-smi"
        )
    absent = [index for index in indexes if not 0 <= index < count]
    if absent:
        raise UserError(f"{key}={devices} asks for GPU {absent[0]}, but this machine's are 0 to {count - 1}")
    return [f"cuda:{index}" for index in indexes]


def workers(asked: int | str) -> int:
    """How many processes load images: "auto" is one for each core that this process may use but its own, at most 8."""
    if asked != "auto":
        return int(asked)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, usable - 1)


def openvino_device(asked: str, key: str) -> str:
    """The OpenVINO device of that name, such as `GPU` or `NPU`; "auto" is the CPU, where figures are comparable.

    Raises:
        UserError: this machine has none, or no driver for it.
    """
    name = "CPU" if asked.lower() in ("auto", "cpu") else asked.upper()
    if name != "CPU":
        import openvino as ov

        there = ov.Core().available_devices
        if not any(device == name or device.startswith(f"{name}.") for device in there):
            raise UserError(f"{key}={asked}: OpenVINO finds {', '.join(there)} here, and no {name}: check its driver")
    return name


def of_training(cfg: DictConfig) -> list[str]:
    """The devices that cfg.training asks for.

    Raises UserError where they are absent, and for mixed precision on the CPU, which engines refuse or are slower by.
    """
    used = resolve(cfg.training.devices, "training.devices")
    if used == ["cpu"] and str(cfg.training.precision) != "32":
        raise UserError(
            f"training.precision={cfg.training.precision} needs a GPU: use training.precision=32 on the CPU"
        )
    return used
