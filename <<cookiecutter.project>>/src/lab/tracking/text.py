"""Names and values as tracking servers take them: allowed characters and lengths."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable
from typing import Any

# MLflow's limits; W&B's are wider but for its tags, which its sink cuts itself.
NAME, PARAM, TAG, RUN_NAME = 250, 6000, 8000, 250
_REFUSED = re.compile(r"[^\w\-. :/]+")


def names(originals: Iterable[str]) -> dict[str, str]:
    """The name under which each of `originals` is sent: `val/score(B)` becomes `val/scoreB`.

    Two that would be called the same are told apart by a hash of what they were called.
    """
    wanted = {original: _clean(original) for original in originals}
    taken = [clean.casefold() for clean in wanted.values()]
    return {
        original: clean
        if clean == original or taken.count(clean.casefold()) == 1
        else f"{clean[:-9]}_{_hash(original)}"
        if len(clean) > NAME - 9
        else f"{clean}_{_hash(original)}"
        for original, clean in wanted.items()
    }


def _clean(name: str) -> str:
    clean = _REFUSED.sub("", name).strip("/ ")
    parts = [part for part in clean.split("/") if part not in ("", ".", "..")]
    clean = posixpath.normpath("/".join(parts)) if parts else "unnamed"
    return clean if len(clean) <= NAME else f"{clean[: NAME - 9]}_{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def cut(text: str, limit: int, more: str = "") -> str:
    """The text, or as much of it as there is room for, ending in `… (more)`."""
    if len(text) <= limit:
        return text
    end = f"… ({more})" if more else "…"
    return text[: limit - len(end)] + end


def value(something: Any) -> str:
    """A param's value, always written alike: as in YAML's flow style, and texts as they are."""
    return something if isinstance(something, str) else json.dumps(something, ensure_ascii=False, default=str)
