"""Conditions on levels, such as `data.batch_size * data.image_size <= 4096`: read as Python's grammar, never executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from lab.errors import UserError, nearest

LONGEST = 500
OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}


def parse(text: str) -> ast.expr:
    """The condition's tree. Raises UserError."""
    if len(text) > LONGEST:
        raise UserError(f"constraints: a condition of {len(text)} characters: expected at most {LONGEST}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"constraints: {text}: not a condition such as `lr * 32 <= data.batch_size`: {error}"
        ) from error


def holds(text: str, levels: Mapping[str, Any]) -> bool:
    """Whether `levels` meet the condition.

    Args:
        text: factors by name, numbers, texts, lists, `+ - * / // %`, comparisons, `in`, `and`, `or`, `not`.
        levels: factor -> level.

    Raises:
        UserError: anything else in the text, an unknown factor, or levels that the operations don't suit.
    """
    try:
        return bool(_value(parse(text), levels, text))
    except (TypeError, ArithmeticError) as error:
        said = ", ".join(f"{name}={value}" for name, value in levels.items())
        raise UserError(f"constraints: {text}: can't be computed with {said}: {error}") from error


def _value(node: ast.expr, levels: Mapping[str, Any], text: str) -> Any:
    def value(child: ast.expr) -> Any:
        return _value(child, levels, text)

    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as constant):
            return constant
        case ast.Name() | ast.Attribute():
            return _level(node, levels, text)
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [value(item) for item in items]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not value(operand)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value(operand)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(value(part) for part in parts)
        case ast.BoolOp(values=parts):
            return any(value(part) for part in parts)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            numbers = value(left), value(right)
            if not all(isinstance(number, int | float) for number in numbers):
                raise TypeError("arithmetic is for numbers")
            return OPERATORS[type(op)](*numbers)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in OPERATORS for op in ops):
            found = [value(part) for part in (left, *others)]
            return all(OPERATORS[type(op)](a, b) for op, a, b in zip(ops, found, found[1:], strict=False))
    raise UserError(f"constraints: {text}: `{ast.unparse(node)}` is more than a condition may hold")


def _level(node: ast.Name | ast.Attribute, levels: Mapping[str, Any], text: str) -> Any:
    name = ast.unparse(node)
    if name not in levels:
        raise UserError(f"constraints: {text}: {name} is not varied here.{nearest(name, levels)}")
    return levels[name]
