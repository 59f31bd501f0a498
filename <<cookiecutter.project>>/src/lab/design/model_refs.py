"""Models of other experiments: what infer.model and infer.members may name in a design."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.design.overrides import override
from lab.errors import UserError

Resolve = Callable[[str, int], str]
LEAST_MEMBERS = 3  # as in vision/ensemble.py


@dataclass(frozen=True)
class Reference:
    """A run of another design, written `design:arm` (the one with the same seed) or `design:arm@seed`."""

    design: str
    arm: str
    seed: int

    @classmethod
    def parse(cls, text: str, seed: int) -> Reference | None:
        """None where `text` is not of this form, such as a branch or MLflow's models:/name/version."""
        match = re.fullmatch(r"(\w[\w-]*):([^/@][^@]*)(?:@(\d+))?", text)
        return cls(match[1], match[2], int(match[3] or seed)) if match else None


def pinned(params: dict[str, Any], seed: int, resolve: Resolve) -> list[str]:
    """The overrides that put what can't change (a commit) in the place of the names in infer.model and infer.members.

    Raises:
        UserError: a name that stands for nothing, or an ensemble of fewer than three.
    """
    infer, found = params["infer"], []
    if infer["model"] is not None:
        found.append(override("infer.model", resolve(str(infer["model"]), seed)))
    if infer["members"]:
        if len(infer["members"]) < LEAST_MEMBERS:
            raise UserError(
                f"infer.members names {len(infer['members'])} models: an ensemble needs at least {LEAST_MEMBERS}"
            )
        found.append(override("infer.members", [resolve(str(name), seed) for name in infer["members"]]))
    return found
