"""The one model file of a project: weights and what is needed to use them, the same for all engines.

The same weights give the same bytes: no dates, no paths, no host in it. DVC therefore sees an unchanged model as
unchanged and skips what depends on it. It is read as data alone, so reading one runs no code.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import torch_file
from .errors import UserError

FORMAT = 1


@dataclass
class ModelFile:
    """A trained network.

    `engine` says who builds it; empty in files from before there was a choice. `architecture` is what the engine builds
    it of: a name, such as one of timm's, or a mapping. `mean` and `std` are per RGB channel, for images
    scaled to [0, 1]; `resize` and `interpolation` are those of conf/data. `metrics` are those of the validation split
    after `epoch` (counted from 1).
    """

    task: str
    name: str
    architecture: str | dict[str, Any]
    classes: list[str]
    image_size: int
    state_dict: dict[str, Any]
    mean: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: list[float] = field(default_factory=lambda: [1.0, 1.0, 1.0])
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    engine: str = ""
    resize: str = "stretch"  # what every classifier did before there was a choice
    interpolation: str = "bilinear"

    def to_bytes(self) -> bytes:
        """The file's content."""
        import torch

        description = {k: v for k, v in asdict_shallow(self).items() if k != "state_dict"}
        weights = {k: v.detach().cpu().contiguous() for k, v in self.state_dict.items()}
        buffer = io.BytesIO()  # a named file would put its own name inside the archive
        torch.save(
            {"format": FORMAT, "description": json.dumps(description, sort_keys=True), "weights": weights}, buffer
        )
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write the file, and the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.to_bytes())

    @staticmethod
    def is_ours(content: Any) -> bool:
        """Whether this is what a file that `save` wrote holds."""
        return isinstance(content, dict) and content.get("format") == FORMAT and "description" in content

    @classmethod
    def load(cls, path: Path) -> ModelFile:
        """Read a file that `save` wrote. Raises UserError when it is absent, damaged or something else."""
        if not path.is_file():
            raise UserError(f"no model at {path}: train one first (dvc exp run train), or name another by infer.model")
        try:
            content = torch_file.load(path)
            assert cls.is_ours(content)
            return cls(state_dict=content["weights"], **json.loads(content["description"]))
        except torch_file.MoreThanData as refusal:
            raise UserError(
                f"{refusal}. It is no model file of this project: train from such weights by model.weights"
            ) from refusal
        except Exception as error:
            raise UserError(
                f"{path} is not a readable model of this project ({type(error).__name__}): "
                "it is damaged, half copied, or was made by something else"
            ) from error


def asdict_shallow(model: ModelFile) -> dict[str, Any]:
    """The fields as they are; dataclasses.asdict would copy every weight."""
    return {name: getattr(model, name) for name in ModelFile.__dataclass_fields__}


def load_weights(network: Any, weights: dict[str, Any], source: str, strict: bool) -> None:
    """Load `weights` into a torch module.

    With `strict`, names and shapes must all match; without, what matches is loaded and the rest is listed. torch's own
    `strict=False` still raises on a shape, hence the filter. Raises UserError.
    """
    own = network.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    reshaped = sorted(k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape)
    groups = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    problems = {f"{len(names)} {what}": names for what, names in groups.items() if names}
    if problems and strict:
        some = (f"{what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" for what, names in problems.items())
        raise UserError(
            f"{source} does not fit the model ({'; '.join(some)}). "
            "Choose the architecture that it was trained with, or load what fits by model.strict=false"
        )
    fitting = {k: v for k, v in weights.items() if k in own and k not in reshaped}
    if not fitting:
        raise UserError(f"{source} has no weight that fits the model: it belongs to another architecture")
    network.load_state_dict(fitting, strict=False)
    if problems:
        print(f"Loaded {len(fitting)} of {len(own)} weights from {source}")
    for what, names in problems.items():
        print(f"{what}:", *names, sep="\n    ")
