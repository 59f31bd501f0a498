"""A new design: what a question's few answers come to, and its file, in which each key says what it means.

What a key means, and which there are besides, is told by the models: a field that is added there is explained here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from lab import yaml12
from lab.descriptions import descriptions
from lab.design.levels import Level
from lab.design.models import KINDS
from lab.design.overrides import override
from lab.design.places import inside
from lab.errors import UserError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from lab.contract import Contract
    from lab.design.pipeline import Pipeline

WIDTH = 120
DRAWN = 10  # combinations of ranges, where nothing else is said
EMPTY = {"name", "kind"}  # the file's name, and the block's own key, say these


@dataclass(frozen=True)
class Answers:
    """What somebody says of a question.

    Attributes:
        kind: of the design: one of KINDS, or of lab.yaml's words.
        varied: for each key or group its levels, or a range's ends; of an ablation the values with and without it.
        fields: the design's other keys, in mappings as the file has them.
    """

    kind: str
    varied: Mapping[str, list[Level] | dict[str, Any]] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def fields_of(answers: Answers) -> dict[str, Any]:
    """The design that answers come to, as its file holds it. Raises UserError: what can't be varied like this."""
    kind, varied = answers.kind, answers.varied
    block: dict[str, Any] = {}
    if not varied:
        pass
    elif kind == "sweep":
        drawn = any(isinstance(levels, dict) for levels in varied.values())
        block = {"strategy": "random", "max_runs": DRAWN} if drawn else {"strategy": "grid"}
        block["parameters"] = dict(varied)
    elif kind == "comparison":
        block = _compared(varied)
    elif kind == "ablation":
        block = _taken_away(varied)
    else:
        raise UserError(f"a design of kind {kind} varies nothing, but {', '.join(varied)} is varied")
    return merged({"kind": kind, **({kind: block} if block else {})}, answers.fields)


def _compared(varied: Mapping[str, Any]) -> dict[str, Any]:
    for key, levels in varied.items():
        if isinstance(levels, dict):
            raise UserError(f"{key} is a range, and a comparison expects values: {key}=a,b")
    if len(varied) == 1:
        ((key, values),) = varied.items()
        return {"variable": key, "values": values}
    return {"variables": dict(varied)}


def _taken_away(varied: Mapping[str, Any]) -> dict[str, Any]:
    for key, levels in varied.items():
        if not isinstance(levels, list) or len(levels) != 2:
            raise UserError(f"{key}: an ablation expects the value with it and the one without: {key}=true,false")
    last = [key.rpartition(".")[2] for key in varied]
    names = {key: name if last.count(name) == 1 else key for key, name in zip(varied, last, strict=True)}
    return {
        "baseline": [override(key, levels[0]) for key, levels in varied.items()],
        "components": {
            re.sub(r"\W", "_", names[key]): override(key, levels[1]) for key, levels in varied.items()
        },
    }  # fmt: skip


def merged(first: dict[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another; where both have mappings, these are merged as well."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


def levels_of(text: str) -> tuple[str, list[Level] | dict[str, Any]]:
    """What `lr=0.001,0.01` or `lr={low: 0.001, high: 0.1}` varies, and by what; a key alone has no levels yet.

    Raises UserError: neither.
    """
    key, _, said = text.partition("=")
    closed = said.strip().startswith("{")
    try:
        levels = yaml12.load(said if closed else f"[{said}]")
    except Exception as error:
        raise UserError(
            f"{text}: expected values as in lr=0.001,0.01, or a range: lr={{low: 0.001, high: 0.1}}"
        ) from error
    return key.strip(), levels


def assigned(text: str) -> dict[str, Any]:
    """What `hypothesis.because='a paper'` or `seeds=[0, 1]` sets in a design. Raises UserError: no key and value."""
    key, sign, said = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"{text}: expected a design's key and its value, as in hypothesis.min_effect=0.01")
    try:
        value: Any = yaml12.load(said)
    except Exception as error:
        raise UserError(f"{text}: {said!r} is not YAML") from error
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value


# What fits


def type_of(varied: Iterable[str], contract: Contract, pipeline: Pipeline) -> str:
    """The experiment type that keys are about: the first of lab.yaml whose stages read them all.

    What the answering stage alone reads is about models that are there, where a type asks about those.
    """
    keys = list(varied)
    stages = {
        stage for stage in pipeline.stages for key in keys
        if any(inside(key, name) or inside(name, key) for name in pipeline.reads(stage))
    }  # fmt: skip
    fitting = [kind for kind, stage in contract.types.items() if stages <= set(pipeline.chain(stage))]
    alone = [kind for kind in fitting if stages == {contract.types[kind]} and not contract.is_recipe(kind)]
    return next(iter([*alone, *fitting, *contract.types]))


def name_for(words: Iterable[str], taken: Iterable[str]) -> str:
    """A name of some words that no other design has: `lr_sweep`, `lr_sweep_2`."""
    base = re.sub(r"\W+", "_", "_".join(filter(None, words)))[:50]
    known = set(taken)
    return next(name for n in range(1, len(known) + 2) if (name := base if n == 1 else f"{base}_{n}") not in known)


def title_for(kind: str, varied: Mapping[str, Any]) -> str:
    """The question that varying something asks, as far as that tells it."""
    keys = [key.rpartition(".")[2] for key in varied]
    named = " and ".join(filter(None, [", ".join(keys[:-1]), *keys[-1:]]))
    if kind == "ablation":
        return f"What {'does' if len(keys) == 1 else 'do'} {named} contribute?"
    if kind == "single":
        return "How good is it, and how much do its results vary from seed to seed?"
    return f"Which {named} {'is' if len(keys) == 1 else 'are'} best?"


# The file


def text(content: Mapping[str, Any], contract: Contract, head: Iterable[str] = ()) -> str:
    """A design's file: what it says, with what that means, and the keys that it leaves out, to be filled in.

    Args:
        content: what it holds, as `fields_of` gives it.
        contract: what lab.yaml says of metrics.
        head: what it begins with, a comment a line.
    """
    words = contract.words.kinds
    kind = str(content["kind"])
    model = KINDS[words[kind].kind if kind in words else kind]
    lines = [f"# {line}" for line in head]
    lines += [f"kind: {kind} # {_meaning((model.__doc__ or '').strip())}"]
    lines += _block(model, {key: value for key, value in content.items() if key != "kind"}, contract, "")
    return "\n".join(lines) + "\n"


def _block(model: type[BaseModel], content: Mapping[str, Any], contract: Contract, indent: str) -> Iterator[str]:
    """The lines of a mapping: its keys in the model's order, then those that the model doesn't know, then those left
    out."""
    fields = {entry.alias or name: entry for name, entry in model.model_fields.items()}  # as a file has them
    meanings = dict(zip(fields, map(_meaning, descriptions(model).values()), strict=True))
    known = [name for name in fields if name in content]
    for name in [*known, *(name for name in content if name not in known)]:
        yield from _entry(name, content[name], fields.get(name), meanings.get(name, ""), contract, indent)
    for name, entry in fields.items():
        if name not in content and name not in EMPTY and not entry.is_required():
            yield from _wrapped(f"{indent}# {name}:{_choices(entry)}", meanings[name], indent)


def _entry(
    name: str, value: Any, entry: FieldInfo | None, meaning: str, contract: Contract, indent: str
) -> Iterator[str]:
    inner = _model_in(entry.annotation) if entry else None
    if inner is not None and isinstance(value, Mapping) and value:
        yield f"{indent}{name}:"
        yield from _block(inner, value, contract, indent + "  ")
    elif isinstance(value, Mapping) and value:
        yield from _wrapped(f"{indent}{name}:", meaning, indent)
        yield from (f"{indent}  {_pair(key, item)}" for key, item in value.items())
    else:
        own = _of_metric(value, contract) if name == "metric" and isinstance(value, str) else meaning
        yield from _wrapped(f"{indent}{_pair(name, value)}", own, indent)


def _pair(key: str, value: Any) -> str:
    """`key: value` on one line."""
    if not isinstance(value, dict | list):
        return yaml12.dump_line({key: value})
    shown = yaml12.dump_line([value], flow=True)[1:-1]
    return yaml12.dump_line({key: None}).removesuffix("null") + shown


def _wrapped(line: str, meaning: str, indent: str) -> Iterator[str]:
    """A line with its comment behind it, or above where both are too long."""
    if not meaning:
        yield from filter(None, [line])
    elif line and len(f"{line} # {meaning}") <= WIDTH:
        yield f"{line} # {meaning}"
    else:
        words, row = meaning.split(), f"{indent}#"
        for word in words:
            if len(f"{row} {word}") > WIDTH:
                yield row
                row = f"{indent}#"
            row = f"{row} {word}"
        yield row
        yield from filter(None, [line])


def _meaning(description: str) -> str:
    """What a model says of a field, up to its first full stop."""
    plain = " ".join(description.split())
    return re.split(r"(?<=\w)\. ", plain)[0].rstrip(".")


def _choices(entry: FieldInfo) -> str:
    """What a field may be, where these are a few words."""
    choices = get_args(entry.annotation) if get_origin(entry.annotation) is Literal else ()
    return f" {' | '.join(map(str, choices))}" if choices else ""


def _of_metric(name: str, contract: Contract) -> str:
    metric = contract.metric(name)
    better = {"maximize": ": more is better", "minimize": ": less is better", None: ""}[metric.direction]
    return f"{metric.label}{better}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field may hold a mapping of; None for what is no block of its own."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
    return None
