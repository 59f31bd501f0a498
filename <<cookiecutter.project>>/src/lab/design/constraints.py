"""Conditions on levels, such as `batch_size * image_size <= 4096`: a small part of Python's grammar, by simpleeval."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from simpleeval import SimpleEval

from lab.errors import UserError, nearest

LONGEST = 500
CONSTANTS = {"true": "True", "false": "False", "null": "None"}  # YAML's, and Python's
SCALARS = (bool, int, float, str, type(None))


def for_numbers(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Arithmetic that refuses texts and lists: those can grow."""

    def computed(left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TypeError("arithmetic is for numbers")
        return compute(left, right)

    return computed


OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: for_numbers(operator.add),
    ast.Sub: for_numbers(operator.sub),
    ast.Mult: for_numbers(operator.mul),
    ast.Div: for_numbers(operator.truediv),
    ast.FloorDiv: for_numbers(operator.floordiv),
    ast.Mod: for_numbers(operator.mod),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
}
NODES: tuple[type, ...] = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.List, ast.Tuple, ast.Set),
    *(ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare),
)


def holds(text: str, levels: Mapping[str, Any]) -> bool:
    """Whether `levels` meet the condition.

    Args:
        text: factors by name, numbers, texts, lists, `+ - * / // %`, comparisons, `in`, `and`, `or`, `not`.
        levels: factor -> level.

    Raises:
        UserError: anything else in the text, or levels that the operations don't suit. `check` tells unknown factors.
    """
    tree, _ = parse(text)
    for part in conditions(tree):
        if isinstance(part, ast.Name | ast.Attribute) and not isinstance(levels[ast.unparse(part)], bool):
            raise no_condition(text, ast.unparse(part))
    try:
        met = Condition(levels).eval(text, tree)
    except (TypeError, ArithmeticError, RecursionError) as error:
        stated = ", ".join(f"{name}={value}" for name, value in levels.items())
        raise UserError(f"constraints: {text}: can't be computed with {stated}: {error}") from error
    return bool(met)


def check(text: str, factors: Mapping[str, str]) -> None:
    """Raises UserError: what can't be a condition on these factors, each by its key or by its short name."""
    _, names = parse(text)
    known = {*factors, *factors.values()}
    if unknown := [name for name in names if name not in known]:
        told = " ".join(not_varied(name, known) for name in dict.fromkeys(unknown))
        raise UserError(f"constraints: {text}: {told}")
    if not names:
        raise UserError(f"constraints: {text}: names nothing that is varied here: {', '.join(factors.values())}")


def not_varied(name: str, factors: Collection[str]) -> str:
    """What a name is that is no factor's."""
    if name in CONSTANTS:
        return f"{name} is written {CONSTANTS[name]} in a condition."
    return f"{name} is not varied here.{nearest(name, factors)}"


def reason(error: BaseException) -> str:
    """Why a text can't be read, without the place that Python adds."""
    return error.msg if isinstance(error, SyntaxError) else str(error)


def no_condition(text: str, part: str) -> UserError:
    """What is raised of a part that is neither true nor false."""
    return UserError(f"constraints: {text}: {part} is no condition: compare it with something, as in {part} <= 0.1")


@lru_cache(maxsize=1000)
def parse(text: str) -> tuple[ast.expr, list[str]]:
    """The condition's tree, and the names in it: of factors, in which a dot is no access to an attribute.

    Raises:
        UserError: too long, not Python's grammar, or more than a condition may hold.
    """
    if len(text) > LONGEST:
        raise UserError(f"constraints: a condition of {len(text)} characters: expected at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"constraints: {text}: not a condition such as `lr * 32 <= data.batch_size`: {reason(error)}"
        ) from error
    expressions = [node for node in ast.walk(tree) if isinstance(node, ast.expr)]
    for node in expressions:
        if not is_allowed(node):
            raise UserError(f"constraints: {text}: `{ast.unparse(node)}` is more than a condition may hold")
    for part in conditions(tree):
        if not isinstance(part, ast.Compare | ast.Name | ast.Attribute) and not is_bool(part):
            raise no_condition(text, ast.get_source_segment(text.strip(), part) or text)
    inner = [node.value for node in expressions if isinstance(node, ast.Attribute)]  # `data` of `data.size`
    names = [node for node in expressions if isinstance(node, ast.Name | ast.Attribute) and node not in inner]
    return tree, [ast.unparse(node) for node in names]


def conditions(tree: ast.expr) -> Iterator[ast.expr]:
    """The parts that `and`, `or` and `not` join: each has to be true or false. A factor alone may be."""
    if isinstance(tree, ast.BoolOp):
        for part in tree.values:
            yield from conditions(part)
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        yield from conditions(tree.operand)
    else:
        yield tree


def is_bool(node: ast.expr) -> bool:
    """Whether a part is `True` or `False`."""
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def is_allowed(node: ast.expr) -> bool:
    """Whether a part of a condition is one of those that conditions have."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, SCALARS)
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name | ast.Attribute)
    operators: list[Any] = node.ops if isinstance(node, ast.Compare) else []
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        operators = [node.op]
    return isinstance(node, NODES) and all(type(op) in OPERATORS for op in operators)


class Condition(SimpleEval):
    """simpleeval's evaluator for `levels`, without what a condition may not hold."""

    def __init__(self, levels: Mapping[str, Any]):
        super().__init__(operators=OPERATORS, functions={}, names={})
        own: dict[type, Callable[[Any], Any]] = {
            **dict.fromkeys((ast.Name, ast.Attribute), lambda node: levels[ast.unparse(node)]),
            **dict.fromkeys((ast.List, ast.Tuple, ast.Set), lambda node: [self._eval(item) for item in node.elts]),
        }
        self.nodes = {kind: own.get(kind) or self.nodes[kind] for kind in NODES}
