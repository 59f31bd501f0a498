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
    try:
        return bool(Condition(text, levels).eval(text, parse(text)))
    except (TypeError, ArithmeticError, RecursionError) as error:
        stated = ", ".join(f"{name}={value}" for name, value in levels.items())
        raise UserError(f"constraints: {text}: can't be computed with {stated}: {error}") from error


@lru_cache(maxsize=1000)
def parse(text: str) -> ast.expr:
    """The condition's tree. Raises UserError: too long, not Python's grammar, or more than a condition may hold."""
    if len(text) > LONGEST:
        raise UserError(f"constraints: a condition of {len(text)} characters: expected at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"constraints: {text}: not a condition such as `lr * 32 <= data.batch_size`: {error}"
        ) from error
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and not is_allowed(node):
            raise UserError(f"constraints: {text}: `{ast.unparse(node)}` is more than a condition may hold")
    return tree


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
    """A condition with the levels that it is about."""

    def __init__(self, text: str, levels: Mapping[str, Any]):
        super().__init__(operators=OPERATORS, functions={}, names={})
        self.text, self.levels = text, levels
        own: dict[type, Callable[[Any], Any]] = dict.fromkeys((ast.Name, ast.Attribute), self._level)
        own |= dict.fromkeys((ast.List, ast.Tuple, ast.Set), self._items)
        self.nodes = {kind: own.get(kind) or self.nodes[kind] for kind in NODES}

    def _level(self, node: ast.expr) -> Any:
        """Of a factor by its whole name, in which a dot is no access to an attribute."""
        name = ast.unparse(node)
        if name not in self.levels:
            raise UserError(f"constraints: {self.text}: {name} is not varied here.{nearest(name, self.levels)}")
        return self.levels[name]

    def _items(self, node: Any) -> list[Any]:
        return [self._eval(item) for item in node.elts]
