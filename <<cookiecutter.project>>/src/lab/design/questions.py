"""Which of the contract's questions a design asks: told by its kind, its type, and what it varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.contract.models import Question
    from lab.design.models import Design


def question_of(design: Design, contract: Contract) -> Question | None:
    """The first of the contract's questions that fits; None for a design that asks none of them."""
    return next((question for question in [contract.single, *contract.questions] if asks(design, question)), None)


def asks(design: Design, question: Question) -> bool:
    """Whether a design asks a question."""
    return (
        design.kind == question.kind
        and (not question.types or design.type in question.types)
        and (question.arms is None or design.size() == question.arms)
        and (not question.varies or _varies(design.factors(), question.varies))
    )


def _varies(factors: Sequence[str], keys: Sequence[str]) -> bool:
    """Whether the factors are these keys, or keys below them: one each."""
    left = list(keys)
    for factor in factors:
        key = next((key for key in left if factor == key or factor.startswith(f"{key}.")), None)
        if key is None:
            return False
        left.remove(key)
    return not left
