"""Settings that no stage could use, at the places of a design that set them: told before anything is queued."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from lab.design.blocks import Range
from lab.design.expansion import Arm, named_by_levels, pick
from lab.design.levels import Level
from lab.design.models import Design, SweepDesign
from lab.design.places import place_of, said
from lab.errors import Keys, UserError
from lab.nested_keys import get

Check = Callable[[dict[str, Any]], Iterable[tuple[str, str]] | None]  # settings -> each wrong key, and what is wrong
ALMOST_ONE = 1 - 1e-12


class Mistake(NamedTuple):
    """A wrong setting: where the design sets it (nowhere: the config does), its key, its value as a text, and why."""

    place: Keys
    key: str
    value: str
    problem: str

    def __str__(self) -> str:
        return f"{said(self.place, self.key)}: {self.problem}"


def mistakes(
    design: Design,
    seed_keys: list[str],
    groups: set[str],
    runs: Iterable[tuple[str, dict[str, Level], int, dict[str, Any]]],
    check: Check,
) -> list[Mistake]:
    """Everything that `check` refuses in the runs (arm, levels, seed, settings), each once.

    Args:
        design: what sets them.
        seed_keys: the settings that are the seed.
        groups: of the config: what is wrong in a file that was chosen is wrong in that file.
        runs: with their composed settings.
        check: of lab.yaml; what it raises is wrong with no setting in particular.
    """
    found: dict[Mistake, None] = {}
    for arm, levels, seed, settings in runs:
        try:
            wrong = list(check(settings) or ())
        except UserError as error:
            wrong = [("", f"{arm}: {error}")]
        for key, problem in wrong:
            place = place_of(key, design, seed_keys, arm, levels, seed, groups)
            found[Mistake(place, key, str(get(settings, key) if key else ""), problem)] = None
    told = {mistake.problem for mistake in found if mistake.place}
    # What is wrong only since the config takes it from another key, as training.lr is ${lr}, is told once.
    return [mistake for mistake in found if mistake.place or mistake.problem not in told]


def probes(design: Design) -> list[Arm]:
    """Combinations that have every level of a sweep, and the ends of its ranges: what it may come to draw."""
    if not isinstance(design, SweepDesign):
        return []
    levels: dict[str, list[Level]] = {
        name: [pick(values, 0.0), pick(values, ALMOST_ONE)] if isinstance(values, Range) else values
        for name, values in design.sweep.parameters.items()
    }
    first = {name: values[0] for name, values in levels.items()}
    return [named_by_levels({**first, name: value}) for name, values in levels.items() for value in values]
