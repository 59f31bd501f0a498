"""Run one stage of dvc.yaml: config in, declared outputs out, one message for a person when it can't be done."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from . import config, devices, environment, registry
from .dependencies import declaration, outputs
from .errors import UserError, of_system

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "openvino",
    "nncf",
    "numpy",
)  # and engines by their name
# A full disk, and what may not be read or written: of the machine, where a traceback tells nothing more.
TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE)
LIVE = Path("dvclive")  # the one output that grows while the stage runs


def main(stage: str) -> None:
    """Run `stage` with the overrides of the command line, and end the process with what it came to."""
    try:
        run(stage, config.load(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"{stage}: {error}")
    except OSError as error:
        if error.errno not in TROUBLE:
            raise
        sys.exit(f"{stage}: {of_system(error)}")


def run(stage: str, cfg: DictConfig) -> None:
    """Run `stage`: its outputs replace the old ones together, after all of them are written. Raises UserError."""
    environment.quiet(threads=threads(stage, cfg), online=cfg.model.weights == "pretrained")
    devices.openvino_device(cfg.quant.device, "quant.device")  # before a training, at whose end it would be too late
    started, clock = datetime.now(UTC), time.perf_counter()
    if stage == "prepare":
        check_devices(cfg)
    module = import_module(f"{__name__.split('.')[0]}.stages.{stage}")
    if hasattr(module, "begin"):
        module.begin(started)
    Path(".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{stage}-", dir=".cache") as folder:
        out = Path(folder)
        try:
            used = module.run(cfg, out)
        except UserError:
            move(out, [path for path in getattr(module, "KEPT", ()) if (out / path).exists()])
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(out_of_memory(stage, cfg)) from error
            raise
        record = {
            "stage": stage,
            "started": started.isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - clock, 2),
            "config": params(stage, cfg),
            "used": used or {},
            "machine": machine(),
        }
        effective = out / "effective" / f"{stage}.yaml"
        effective.parent.mkdir(exist_ok=True)
        # A list, as `dvc plots` reads it: the seconds of each run's stages side by side.
        effective.write_text(yaml.safe_dump([record], sort_keys=False, allow_unicode=True))
        publish(stage, out)


def check_devices(cfg: DictConfig) -> None:
    """Refuse a GPU that is absent before the first stage starts, not hours later. Raises UserError."""
    for key in ("training.devices", "infer.device"):
        asked = OmegaConf.select(cfg, key)
        if asked not in ("auto", "cpu"):  # which import no torch
            devices.resolve(asked, key)


def threads(stage: str, cfg: DictConfig) -> int:
    """CPU threads of a stage; prepare is single-threaded."""
    return {"train": cfg.training.threads, "infer": cfg.infer.latency.threads, "quant": cfg.quant.threads}.get(stage, 1)


def params(stage: str, cfg: DictConfig) -> dict[str, Any]:
    """The settings that `stage` declares in dvc.yaml, as it was run with them, by their dotted keys."""
    values = {key: OmegaConf.select(cfg, key) for key in declaration(stage).get("params", [])}
    return {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in values.items()}


def publish(stage: str, out: Path) -> None:
    """Move the outputs from the staging folder to where dvc.yaml declares them."""
    paths = [path for path in outputs(stage) if LIVE not in (path, *path.parents)]
    absent = [str(path) for path in paths if not (out / path).exists()]
    assert not absent, f"{stage} did not write {', '.join(absent)}, which dvc.yaml declares"
    move(out, paths)


def move(out: Path, paths: Iterable[Path]) -> None:
    """Put outputs of the staging folder in the place of what is there, which may be a link to DVC's cache."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(out / path, path)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether CUDA or the host ran out of memory, in the several words of torch, OpenCV and C++ for it."""
    words = ("out of memory", "allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc", "Insufficient memory")
    told = not isinstance(error, UserError) and any(word in str(error) for word in words)
    return isinstance(error, MemoryError) or told


def out_of_memory(stage: str, cfg: DictConfig) -> str:
    """What to do about it."""
    if stage == "train":
        batch = cfg.data.batch_size
        return (
            f"out of memory with data.batch_size={batch} at data.image_size={cfg.data.image_size}. Try "
            f"data.batch_size={max(1, batch // 2)} training.accumulate_grad_batches="
            f"{2 * cfg.training.accumulate_grad_batches}: the same number of images for each step of the optimizer"
        )
    if stage == "prepare":
        return "out of memory: too little for the largest images; cut them into tiles, or end other programs"
    batch = cfg.infer.batch_size
    return f"out of memory with infer.batch_size={batch}. Try infer.batch_size={max(1, batch // 2)}"


def machine() -> dict[str, Any]:
    """What the stage ran on."""
    facts: dict[str, Any] = {
        "host": platform.node(),
        "system": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    torch = sys.modules.get("torch")  # not imported for the sake of this record
    if torch is not None and torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts["versions"] = {
        name: version for name in (*PACKAGES, *registry.engine_folders()) if (version := installed(name))
    }
    return facts


def installed(package: str) -> str | None:
    """The version of a package; None where it is absent: each task runs without the engines of others."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name, such as `AMD EPYC 7B13`."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
