"""Models of other experiments: what the settings that name models may hold in a design."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.design.overrides import override
from lab.errors import UserError
from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.contract import Contract

Resolve = Callable[[str, int], str]


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


def pinned(params: dict[str, Any], seed: int, resolve: Resolve, contract: Contract) -> list[str]:
    """The overrides that put what can't change (a commit) in the place of the names of models.

    Raises:
        UserError: a name that stands for nothing, or an ensemble of too few.
    """
    keys, overrides = contract.model_keys, []
    name = get(params, keys.one) if keys.one else None
    if keys.one and name is not None:
        overrides.append(override(keys.one, resolve(str(name), seed)))
    names = get(params, keys.several) if keys.several else None
    if keys.several and names:
        if len(names) < keys.least:
            raise UserError(f"{keys.several} names {len(names)} models: an ensemble needs at least {keys.least}")
        overrides.append(override(keys.several, [resolve(str(name), seed) for name in names]))
    return overrides
