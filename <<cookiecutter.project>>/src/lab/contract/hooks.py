"""The project's own functions that lab.yaml names as `module:function`: here and nowhere else are they imported."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Generator
from functools import lru_cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.errors import UserError, nearest

LAB = Path(__file__).parents[1]


@lru_cache(maxsize=100)
def load(root: Path, name: str, tells: bool = False) -> Callable[..., Any]:
    """The function `name` of the project at `root`, whose code lies in src/ or at its top. Raises UserError.

    Whatever it raises becomes a UserError with its name and line. Where it `tells` of people's mistakes, a ValueError
    that it raises itself is one, in its own words.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = _module(root, module_name)
    except ImportError as error:
        raise UserError(f"lab.yaml: {name}: its module can't be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"lab.yaml: {name}: its module can't be imported: {_where(error)}") from error
    if not hasattr(module, function_name):
        raise UserError(f"lab.yaml: {name}: {module_name} has no such function.{nearest(function_name, vars(module))}")
    if not callable(function := getattr(module, function_name)):
        raise UserError(f"lab.yaml: {name}: expected a function, not {function!r}")
    return for_people(function, name, tells)


def files(root: Path, name: str) -> list[Path]:
    """The sources of the package, or of the module, that has the function `name`; none of what is not the project's."""
    spec = _spec(root, name.partition(":")[0])
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return [file for folder in folders for file in folder.rglob("*.py")] or [Path(spec.origin or "")]


def _spec(root: Path, module: str) -> ModuleSpec | None:
    """Where the package that a module belongs to, or the module, lies in the project."""
    return PathFinder.find_spec(module.partition(".")[0], [str(root), str(root / "src")])


def _module(root: Path, name: str) -> ModuleType:
    """The module as `root` has it, though the environment may be linked with another copy of the project."""
    folders = [str(root), str(root / "src")]
    sys.path += [folder for folder in folders if folder not in sys.path]
    top = name.partition(".")[0]
    spec = _spec(root, name)
    if spec and spec.loader and spec.origin:
        known = sys.modules.get(top)
        if known is None or os.path.realpath(known.__file__ or "") != os.path.realpath(spec.origin):
            for other in [other for other in sys.modules if other == top or other.startswith(f"{top}.")]:
                del sys.modules[other]
            module = sys.modules[top] = module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[top]
                raise
    return import_module(name)


def for_people(function: Callable[..., Any], name: str, tells: bool = False) -> Callable[..., Any]:
    """The function `name` with all that it raises as UserErrors: see `load`."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            given = function(*arguments, **named)
            return [*given] if isinstance(given, Generator) else given
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            told = str(error) if tells and _is_told(error) else f"lab.yaml: {name}: {_where(error)}"
            raise UserError(told) from error

    return wrapped


def _is_told(error: BaseException) -> bool:
    """Whether the project's own code tells of a person's mistake, and made none itself."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and _is_own(last) and (last.line or "").startswith("raise ")


def _where(error: BaseException) -> str:
    """An error of the project's own code, with the last line of that code that led to it."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame)]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def _is_own(frame: traceback.FrameSummary) -> bool:
    """Whether it is the project's code: no package's, and not lab's."""
    others = (*(f"{folder}{os.sep}" for folder in (sys.prefix, sys.base_prefix, LAB)), "<")
    return not frame.filename.startswith(others)
