"""Keep the engines to themselves: nothing in HOME, no telemetry, no unasked downloads, no loggers of their own."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path


def project_root() -> Path:
    """The repository that the user works in. DVC names it when it runs a stage in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def quiet(threads: int, online: bool) -> None:
    """Set the environment of this process, before any engine is imported.

    `threads` is pinned because results on the CPU depend on it; passive waiting because OpenMP's default, spinning,
    makes two processes on a busy machine ten times slower. `online` lets engines fetch the weights that the user asked
    for by model.weights=pretrained. What one engine alone needs is in quiet_<engine>.py.
    """
    cache = project_root() / ".cache"
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        OMP_WAIT_POLICY="PASSIVE",
        NO_ALBUMENTATIONS_UPDATE="1",  # albumentations asks the network for its newest version on import
        MPLBACKEND="agg",
        DVC_NO_ANALYTICS="1",
        DO_NOT_TRACK="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        NNCF_CI="1",
        TF_BUILD="1",  # the one of CI's variables that keeps OpenVINO's telemetry from writing to HOME on import
    )
    if not online:
        os.environ.update(HF_HUB_OFFLINE="1")
    for variable, folder in (
        ("MPLCONFIGDIR", "matplotlib"),
        ("TORCH_HOME", "torch"),
        ("TORCHINDUCTOR_CACHE_DIR", "inductor"),
        ("HF_HOME", "huggingface"),
    ):  # a shared cache that the user has set stays
        os.environ.setdefault(variable, str(cache / folder))
    for file in sorted(Path(__file__).parent.glob("quiet_*.py")):
        import_module(f".{file.stem}", __package__).quiet(cache, online)
