"""Conditions on levels, such as `batch_size * image_size <= 4096`: a small part of Python's grammar, by simpleeval."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from simpleeval import SimpleEval

from lab.errors import UserError, nearest

LONGEST = 500
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
        UserError: anything else in the text, an unknown factor, or levels that the operations don't suit.
    """
    tree, names = parse(text)
    unknown = next((name for name in names if name not in levels), None)
    if unknown:
        raise UserError(f"constraints: {text}: {unknown} is not varied here.{nearest(unknown, levels)}")
    try:
        return bool(Condition(levels).eval(text, tree))
    except (TypeError, ArithmeticError, RecursionError) as error:
        stated = ", ".join(f"{name}={value}" for name, value in levels.items())
        raise UserError(f"constraints: {text}: can't be computed with {stated}: {error}") from error


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
            f"constraints: {text}: not a condition such as `lr * 32 <= data.batch_size`: {error}"
        ) from error
    expressions = [node for node in ast.walk(tree) if isinstance(node, ast.expr)]
    for node in expressions:
        if not is_allowed(node):
            raise UserError(f"constraints: {text}: `{ast.unparse(node)}` is more than a condition may hold")
    inner = [node.value for node in expressions if isinstance(node, ast.Attribute)]  # `data` of `data.size`
    names = [node for node in expressions if isinstance(node, ast.Name | ast.Attribute) and node not in inner]
    return tree, [ast.unparse(node) for node in names]


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
