"""What all parts of the contract have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

HOOK = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
Key = Annotated[str, Field(pattern=r"^[\w/@-]+(\.[\w-]+)*$", description="A key of params.yaml, such as model.name")]
Stage = Annotated[str, Field(min_length=1, description="A stage of dvc.yaml")]
When = dict[Key, Any]


class Model(BaseModel):
    """No unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def hook_name(text: str) -> str:
    """Refuse what is not `package.module:function`."""
    if not HOOK.fullmatch(text):
        raise ValueError(f"{text!r}: expected module:function, such as my_package.metrics:score")
    return text


def unbalanced(text: str) -> str:
    """Which brace of a text has no other, and where; empty where all have. `{{` and `}}` are braces for format."""
    open_at: list[int] = []
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            open_at.append(match.start())
        elif open_at:
            open_at.pop()
        else:
            return f"{text!r}: the }} at character {match.start() + 1} has no {{ before it"
    return f"{text!r}: the {{ at character {open_at[-1] + 1} has no }}" if open_at else ""


def balanced(text: str) -> str:
    """Refuse a brace without the other."""
    if problem := unbalanced(text):
        raise ValueError(problem)
    return text


Template = Annotated[str, AfterValidator(balanced)]


def filled(text: str, *names: str) -> str:
    """Refuse a text in which anything but these names in braces stands for something."""
    balanced(text)
    try:
        text.format(*[""] * names.count(""), **dict.fromkeys(names, ""))
    except (LookupError, ValueError, AttributeError) as error:
        known = " and ".join(f"{{{name}}}" for name in names)
        raise ValueError(f"{text!r}: nothing but {known} stands for something in it") from error
    return text


def stands_for(*names: str) -> AfterValidator:
    """Of a text in which these names in braces stand for something: refuse any other. `""` is {} alone."""
    return AfterValidator(lambda text: filled(text, *names))
