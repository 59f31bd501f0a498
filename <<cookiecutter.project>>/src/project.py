"""Finds the project's package by its place, so that no script and no test has to know its name."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

PACKAGE = next(Path(__file__).parent.glob("*/vision/__init__.py")).parent.parent.name


def load(name: str) -> ModuleType:
    """A module of the package by its dotted name inside it: `load("vision.prepare")`."""
    return import_module(f"{PACKAGE}.{name}")
