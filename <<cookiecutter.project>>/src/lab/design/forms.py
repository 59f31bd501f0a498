"""The forms of what a design says: lines, overrides, keys, metrics, and the blocks that they stand in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Tag, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from lab.design.levels import by_shape, printable

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.errors import Mistake


def one_line(text: str) -> str:
    """Refuse an empty text, and one that isn't printable."""
    if not text.strip():
        raise ValueError("is empty")
    return printable(text)


def wrong(*mistakes: Mistake) -> PydanticCustomError:
    """What a validator of a whole block raises: each mistake with the keys that lead from the block to where it is."""
    return PydanticCustomError(WRONG, "mistakes", {"mistakes": mistakes})


def wrong_value(text: str) -> PydanticCustomError:
    """What a validator of a value raises that is no block."""
    return wrong(((), text))


def contract_of(info: ValidationInfo) -> Contract | None:
    """What lab.yaml says; None where a design is built without, as in a copy of one that was checked."""
    return (info.context or {}).get("contract")


def without_default(schema: dict[str, Any]) -> None:
    """For editors: what is left out is not always the same."""
    schema.pop("default", None)


def assigned(text: str) -> str:
    """Refuse a text that sets nothing."""
    if "=" not in text and not text.strip().startswith("~"):
        raise ValueError(f"{text}: expected key=value, such as training.max_epochs=2")
    return text


Line = Annotated[str, AfterValidator(one_line)]
Override = Annotated[
    Line, AfterValidator(assigned), Field(description="A Hydra override, as after `dvc exp run -S`: lr=0.001")
]
Overrides = Annotated[
    Annotated[Override, Tag("value")] | Annotated[list[Override], Tag("list")],
    by_shape("an override such as augmentation=none, or a list of them"),
]
WRONG = "wrong"  # what errors of `wrong` are called
NAME = r"^\w[\w-]*$"  # of a design, and so of its file
Key = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w/@-]*(\.[\w-]+)*$", description="A key of the config, or a group of conf/")
]
Metric = Annotated[
    str,
    Field(
        pattern=r"^[^.\s]+( [^.\s]+)*(\.[^.\s]+( [^.\s]+)*)+$",
        description="A metrics file of dvc.yaml, without its folder and ending, and a key in it: evaluate.accuracy",
    ),
]


class Model(BaseModel):
    """What all parts have in common: no unknown keys, no conversions, no changes afterwards, nothing that can't be
    meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        """What can be written and not be meant, each with the keys that lead from here to where it is."""
        yield from ()

    @model_validator(mode="after")
    def _meant(self, info: ValidationInfo) -> Self:
        if found := list(self.contradictions(contract_of(info))):
            raise wrong(*found)
        return self
