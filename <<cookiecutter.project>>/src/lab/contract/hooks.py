"""The project's own functions that lab.yaml names as `module:function`: here and nowhere else are they imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lab.errors import UserError, nearest


@lru_cache(maxsize=100)
def load(root: Path, name: str) -> Callable[..., Any]:
    """The function `name` of the project at `root`, whose code lies in src/ or at its top. Raises UserError.

    A ValueError of the function is a person's mistake, and becomes a UserError.
    """
    module_name, _, function_name = name.partition(":")
    for folder in (root, root / "src"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise UserError(f"lab.yaml: {name}: its module can't be imported: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"lab.yaml: {name}: {module_name} has no such function.{nearest(function_name, vars(module))}")
    return _for_people(function)


def _for_people(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its ValueErrors as UserErrors."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped
