"""What is wrong with a design, for people: the key, what was expected, and the nearest name that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from lab.contract.messages import KEY, explained, shown
from lab.design.blocks import (
    AblationConfig,
    ComparisonConfig,
    Constraint,
    Guardrail,
    Hypothesis,
    Range,
    SeedRange,
    SweepConfig,
)
from lab.design.forms import WRONG
from lab.design.models import KINDS, DesignBase
from lab.design.resources import Budget, Resources
from lab.errors import Keys, Mistake, nearest, not_one_of

if TYPE_CHECKING:
    from lab.contract import Contract

PATTERNS = {
    "metric": "the name of a metrics file and a key in it, such as {metric}",
    "date": "a date such as 2026-11-21",
    "name": "a name of letters, digits, - and _",
    "timeout": "a time with its unit, such as 2h, 30m or 1h30m",
    "components": "a name of letters, digits and _",
    "effect": "a factor with two levels, such as lr, or two of them on each other, such as lr:ema",
}
A_KEY = "a key of the config, such as lr or training.ema"
AN_OVERRIDE = "an override, such as training.max_epochs=2"
OVERRIDES = {  # where a text is a Hydra override
    ("base",): AN_OVERRIDE,
    ("comparison", "values"): f"{AN_OVERRIDE}, or a list of them; values without names are a list: values: [2, 4]",
    ("ablation", "baseline"): AN_OVERRIDE,
    ("ablation", "components"): f"{AN_OVERRIDE}, or a list of them",
}
EXAMPLES = {  # of what has to be there
    "title": "title: Which learning rate is best?",
    "claim": "claim: A larger rate does better",
    "metric": "metric: {metric}",
    "sweep": "sweep: {{parameters: {{lr: [0.001, 0.01]}}}}",
    "parameters": "parameters: {{lr: [0.001, 0.01]}}",
    "comparison": "comparison: {{variable: lr, values: [0.001, 0.01]}}",
    "ablation": "ablation: {{baseline: [lr=0.01], components: {{rate: lr=0.001}}}}",
    "baseline": "baseline: [lr=0.01]",
    "components": "components: {{rate: lr=0.001}}",
    "require": 'require: "lr <= 0.1"',
    "otherwise": "otherwise: skip",
}
BLOCKS: dict[str, type[BaseModel]] = {
    "sweep": SweepConfig,
    "comparison": ComparisonConfig,
    "ablation": AblationConfig,
    "hypothesis": Hypothesis,
    "guardrails": Guardrail,
    "constraints": Constraint,
    "parameters": Range,
    "resources": Resources,
    "budget": Budget,
    "seeds": SeedRange,
}


def path_of(error: ErrorDetails, data: Any) -> list[str | int]:
    """The keys that lead to the error, without the names of union members that pydantic puts between them."""
    loc = error["loc"][1:] if error["loc"] and error["loc"][0] in KINDS else error["loc"]
    if is_of_key(error):  # which pydantic has as a text
        loc = (*loc[: -2 if loc[-1] == KEY else -1], error["input"])
    return within(data, loc, error["type"] == "missing")


def is_of_key(error: ErrorDetails) -> bool:
    """Whether a key itself is wrong, and not what it leads to."""
    return error["type"] == "invalid_key" or error["loc"][-1:] == (KEY,)


def within(data: Any, loc: Keys, is_missing: bool = False) -> list[str | int]:
    """Those of the keys that are there, and the last of them where it `is_missing`."""
    path: list[str | int] = []
    for part in loc:
        inside = child(data, part)
        if inside is not None:
            path.append(part)
            data = inside[0]
        elif is_missing and part == loc[-1]:
            path.append(part)
    return path


def child(data: Any, part: str | int) -> tuple[Any] | None:
    """What is at a key or an index, in a tuple of its own; None where there is nothing."""
    if isinstance(data, dict):
        return (data[part],) if part in data else None
    return (data[part],) if isinstance(data, list) and isinstance(part, int) else None


def told(errors: list[ErrorDetails], data: Any, contract: Contract | None) -> list[Mistake]:
    """Each mistake once: the keys that lead to it, and `key: what is wrong`.

    Of a value that may be of several types pydantic says of each why it is none of them: one sentence names them all.
    """
    alike: dict[Keys, list[ErrorDetails]] = {}
    found: list[Mistake] = []
    for error in errors:
        path = tuple(path_of(error, data))
        if error["type"] == WRONG:
            mistakes = error.get("ctx", {})["mistakes"]
            found += [((*path, *keys), said((*path, *keys), text)) for keys, text in mistakes]
        else:
            alike.setdefault(path, []).append(error)
    for path, own in alike.items():
        own = [error for error in own if error["type"] == "finite_number"] or own
        texts = list(dict.fromkeys(explain(error, list(path), data, contract) for error in own))
        start = f"{shown(own[0]['input'])}: expected "
        if len(texts) > 1 and all(text.startswith(start) for text in texts):
            texts = [start + " or ".join(text.removeprefix(start) for text in texts)]
        found += [(path, said(path[:-1] if is_of_key(own[0]) else path, text)) for text in texts]
    return found


def said(path: Keys, text: str) -> str:
    """`key: what is wrong`."""
    return f"{'.'.join(map(str, path))}: {text}" if path else text


def explain(error: ErrorDetails, path: list[str | int], data: Any, contract: Contract | None) -> str:
    """What is wrong, and what was expected."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        words = list(contract.words.comparison) if contract and "comparison" in path else []
        known = fields_at(path[:-1], data) + words
        return f"no such key here.{hint_for(str(path[-1]), path[:-1], known, data)}"
    if kind == "union_tag_not_found":
        return f"not a design: it has no kind, which is one of {', '.join(KINDS)}"
    if kind == "union_tag_invalid":
        return f"kind: {not_one_of(data['kind'], [*KINDS, *(contract.words.kinds if contract else ())])}"
    if kind == "string_pattern_mismatch":
        names = [key for key in reversed(path) if key in PATTERNS]
        expected = PATTERNS[str(names[0])] if names else A_KEY
        hint = near_metric(value, contract) if contract and names[:1] == ["metric"] else ""
        return f"{shown(value)}: expected {expected.format(metric=a_metric(contract))}{f'.{hint}' if hint else ''}"
    if kind == "missing" and path and (example := EXAMPLES.get(str(path[-1]))):
        return f"is missing: {example.format(metric=a_metric(contract))}"
    if kind == "too_short" and value and path[-1:] == ["variables"]:
        return (
            f"{next(iter(value))} is the only one: write variable: {next(iter(value))}, and its values as values: […]"
        )
    overrides = OVERRIDES.get(tuple(path[:1])) or OVERRIDES.get(tuple(path[:2]))
    if kind == "string_type" and overrides and not is_of_key(error):
        return f"{shown(value)}: expected {overrides}"
    return explained(error)


def hint_for(key: str, above: list[str | int], known: list[str], data: Any) -> str:
    """What a key that isn't one may mean: that of another kind or block, the nearest one here, or one of all."""
    kinds = [kind for kind, model in KINDS.items() if key in fields(model) and key not in known]
    if not above and kinds:
        return f" It belongs to kind: {' or '.join(kinds)}, and this is kind: {data.get('kind')}"
    if hint := nearest(key, known):
        return hint
    blocks = [name for name, model in BLOCKS.items() if key in fields(model)]
    if not above and (kinds or blocks):
        return f" It belongs into {' or '.join(blocks)}"
    return f" Expected one of {', '.join(known)}." if known else ""


def fields(model: type[BaseModel]) -> list[str]:
    """The keys of a block."""
    return [field.alias or name for name, field in model.model_fields.items()]


def fields_at(path: list[str | int], data: Any) -> list[str]:
    """The keys that exist where `path` leads."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        model: type[BaseModel] = KINDS.get(data.get("kind"), DesignBase)
    else:
        model = BLOCKS.get(names[-1]) or BLOCKS.get(names[-2] if len(names) > 1 else "", DesignBase)
    return fields(model)


def near_metric(value: str, contract: Contract) -> str:
    """What a metric without its file may mean: one that matters, else any."""
    stages = dict.fromkeys(contract.types.values())
    matter = [name for stage in stages for name in (*contract.main_metrics(stage), *contract.told_metrics(stage))]
    return nearest(value, matter) or nearest(value, contract.metric_names)


def a_metric(contract: Contract | None) -> str:
    """The name of one, as an example."""
    known = [*contract.main_metrics(next(iter(contract.types.values()))), *contract.metrics] if contract else []
    return next((name for name in known if "*" not in name), "evaluate.accuracy")
