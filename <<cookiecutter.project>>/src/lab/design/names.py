"""What runs are called: {date}_{model}_{image_size}_{augmentation}_{feature}, or as the design says."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from typing import Any

from lab.design.compose import exists, find
from lab.design.expansion import Arm
from lab.design.levels import label
from lab.design.models import Design
from lab.errors import UserError, nearest

LONGEST = 150  # characters; a ref is a file with a name of at most 255, and tables want less
PLACE = re.compile(r"\{([^{}]*)\}")


def run_names(design: Design, pairs: list[tuple[Arm, int]], params: list[dict[str, Any]], date: str) -> list[str]:
    """For each arm and seed a name of its own. Raises UserError: a placeholder that nothing fills."""
    said = [(arm.name, seed) for arm, seed in pairs]
    plain = [
        run_name(design, arm, seed, config, design.date or date)
        for (arm, seed), config in zip(said, params, strict=True)
    ]
    return unique(plain, said)


def run_name(design: Design, arm: str, seed: int, params: dict[str, Any], date: str) -> str:
    """A run's name by the design's template. Raises UserError: a placeholder that nothing fills."""
    parts = [design.name, *([arm] if design.kind != "single" else []), f"s{seed}"]
    known = {
        "date": date.replace("-", ""),
        "model": find(params, "model.name"),
        "image_size": find(params, "data.image_size"),
        "augmentation": find(params, "augmentation.name"),
        "feature": "_".join(map(slug, parts)),
        "design": design.name,
        "task": params["task"],
        "arm": arm,
        "seed": seed,
    }

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name in known:
            return slug(str(known[name]))
        if not exists(params, name):
            raise UserError(
                f"run_name: {{{name}}} is neither a key of the config nor one of {', '.join(known)}.{nearest(name, known)}"
            )
        return slug(label(find(params, name)))

    return shortened(slug(PLACE.sub(fill, design.run_name)), arm, seed)


def slug(text: str) -> str:
    """`text` in letters, digits, `.`, `_` and `-`: a valid git ref that neither a shell nor Hydra wants quoted."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", re.sub(r"[,+]", "_", plain))
    return re.sub(r"\.{2,}", ".", words).strip("-._").removesuffix(".lock") or "x"


def shortened(name: str, arm: str, seed: int) -> str:
    """The name, or its beginning and what tells it from others that begin the same."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9].rstrip('-._')}_{tag(arm, seed)}"


def tag(arm: str, seed: int) -> str:
    """Eight characters that stand for an arm and a seed."""
    return hashlib.sha256(f"{arm}\n{seed}".encode()).hexdigest()[:8]


def unique(names: list[str], arms: list[tuple[str, int]]) -> list[str]:
    """The names, with a tag for those that are equal but for upper and lower case: files can be blind to that."""
    count = Counter(map(str.casefold, names))
    return [
        name if count[name.casefold()] == 1 else f"{name}_{tag(arm, seed)}"
        for name, (arm, seed) in zip(names, arms, strict=True)
    ]
