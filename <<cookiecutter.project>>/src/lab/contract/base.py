"""What all parts of the contract have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

HOOK = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
Key = Annotated[str, Field(pattern=r"^[\w/@-]+(\.[\w-]+)*$", description="A key of params.yaml, such as model.name")]
Stage = Annotated[str, Field(min_length=1, description="A stage of dvc.yaml")]
When = dict[Key, Any]


class Model(BaseModel):
    """No unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def hook_name(text: str) -> str:
    """Refuse what is not `package.module:function`."""
    if not HOOK.fullmatch(text):
        raise ValueError(f"{text!r}: expected module:function, such as my_package.metrics:score")
    return text
