"""What runs are called: as lab.yaml says, such as {date}_{feature}, or as the design does."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from lab.design.expansion import Arm
from lab.design.levels import label
from lab.design.models import Design
from lab.errors import MistakesInFile, UserError, nearest
from lab.nested_keys import exists, find

if TYPE_CHECKING:
    from lab.contract import Contract

LONGEST = 150  # characters; a ref is a file with a name of at most 255, and tables want less
PLACE = re.compile(r"\{([^{}]*)\}")


def run_names(
    design: Design, contract: Contract, pairs: list[tuple[Arm, int]], params: list[dict[str, Any]], date: str
) -> list[str]:
    """For each arm and seed a name of its own. Raises UserError: a placeholder that nothing fills."""
    arms = [(arm.name, seed) for arm, seed in pairs]
    names = [
        run_name(design, contract, arm, seed, config, design.date or date)
        for (arm, seed), config in zip(arms, params, strict=True)
    ]
    return unique(names, arms)


def run_name(design: Design, contract: Contract, arm: str, seed: int, params: dict[str, Any], date: str) -> str:
    """A run's name by the design's template. Raises UserError: a placeholder that nothing fills."""
    template = design.run_name or contract.run_name
    parts = [design.name, *([arm] if design.kind != "single" else []), f"s{seed}"]
    words = {
        "date": date.replace("-", ""),
        **{word: find(params, key) for word, key in contract.names.items() if exists(params, key)},
        "feature": "_".join(map(slug, parts)),
        "design": design.name,
        **({"task": contract.task_of(params)} if contract.task else {}),
        "arm": arm,
        "seed": seed,
    }

    def fill(match: re.Match[str]) -> str:
        word = match[1]
        if word in words:
            return slug(str(words[word]))
        if not exists(params, word):
            hint = nearest(word, words)
            text = f"run_name: {{{word}}} is neither a key of the config nor one of {', '.join(words)}.{hint}"
            raise MistakesInFile((("run_name",), text)) if design.run_name else UserError(f"lab.yaml: {text}")
        return slug(label(find(params, word)))

    return shortened(slug(PLACE.sub(fill, template)), arm, seed)


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
