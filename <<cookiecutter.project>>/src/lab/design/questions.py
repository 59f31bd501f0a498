"""Which of the contract's questions a design asks: told by its kind, its type, and what it varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.contract.reports import Figure, Question
from lab.design import search
from lab.design.models import AblationDesign

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design

KINDS = (  # how the kinds of design are answered where the contract has nothing else for them
    Question(name="single", kind="single"),
    Question(name="sweep", kind="sweep", figures=[Figure(draw="sweep")]),
    Question(name="comparison", kind="comparison"),
    Question(name="ablation", kind="ablation"),
    Question(name="factorial", kind="factorial", figures=[Figure(draw="arms"), Figure(draw="effects")]),
)


def question_of(design: Design, contract: Contract) -> Question:
    """The first of the contract's questions that a design asks, or that of its kind."""
    return next(each for each in (contract.single, *contract.questions, *KINDS) if asks(design, each))


def asks(design: Design, question: Question) -> bool:
    """Whether a design asks a question."""
    is_factorial = isinstance(design, AblationDesign) and design.ablation.method == "factorial"
    return (
        question.kind == ("factorial" if is_factorial else design.kind)
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


def needed_metrics(design: Design, contract: Contract, is_search: bool = False) -> list[list[str]]:
    """What a run has to measure to count: its hypothesis' metric and guardrails or, without one, a main metric.

    In a search, what that goes by. Of each group one metric is enough.
    """
    if is_search:
        return [search.metrics(design, contract)]
    if design.hypothesis:
        names = [design.hypothesis.metric, *(guard.metric for guard in design.hypothesis.guardrails)]
        return [[name] for name in dict.fromkeys(names)]
    main = contract.main_metrics(contract.types[design.type])
    return [main] if main else []
