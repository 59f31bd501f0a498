"""Settings that no stage could use, at the places of a design that set them: told before anything is queued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from lab.design.blocks import Range
from lab.design.expansion import Arm, as_list, named_by_levels, pick
from lab.design.levels import Level, identity
from lab.design.models import AblationDesign, ComparisonDesign, Design, SweepDesign
from lab.design.overrides import key_of
from lab.errors import UserError
from lab.nested_keys import get

Check = Callable[[dict[str, Any]], Iterable[tuple[str, str]] | None]  # settings -> each wrong key, and what is wrong
Place = tuple[str | int, ...]  # the keys of a design's file that lead to what sets it; () where it is the config
ALMOST_ONE = 1 - 1e-12


class Mistake(NamedTuple):
    """A wrong setting: where it is set, its key, its value as a text, and what is wrong with it."""

    place: Place
    key: str
    value: str
    problem: str

    def __str__(self) -> str:
        path = ".".join(map(str, self.place))
        named = path.endswith(self.key) or self.place[-2:-1] and str(self.place[-2]).endswith(self.key)
        return f"{path}: {'' if named else f'{self.key}: '}{self.problem}"


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
        setters = list(places(design, seed_keys, arm, levels, seed))
        for key, problem in wrong:
            within = [(place, name) for name, place in setters if name not in groups and inside(key, name)]
            place = within[-1][0] if within else ()
            found[Mistake(place, key, str(get(settings, key) if key else ""), problem)] = None
    told = {mistake.problem for mistake in found if mistake.place}
    # What is wrong only since the config takes it from another key, as training.lr is ${lr}, is told once.
    return [mistake for mistake in found if mistake.place or mistake.problem not in told]


def inside(key: str, name: str) -> bool:
    """Whether a key is a setting, or part of it."""
    return key == name or key.startswith(f"{name}.")


def places(
    design: Design, seed_keys: list[str], arm: str, levels: dict[str, Level], seed: int
) -> Iterator[tuple[str, Place]]:
    """Each setting of a run that its design sets, and where; of one that is set twice, the later counts."""
    yield from ((key_of(text), ("base", index)) for index, text in enumerate(design.base))
    if isinstance(design, AblationDesign):
        block = design.ablation
        yield from ((key_of(text), ("ablation", "baseline", index)) for index, text in enumerate(block.baseline))
        gone = [name for name, kept in levels.items() if not kept]
        yield from (each for name in gone for each in _listed(block.components[name], "ablation", "components", name))
    elif isinstance(design, ComparisonDesign) and isinstance(design.comparison.values, dict):
        yield from _listed(design.comparison.values[arm], "comparison", "values", arm)
    else:
        for factor, level in levels.items():
            yield factor, _place_of(design, factor, level)
    yield from ((key, ("seeds", design.seeds.index(seed))) for key in seed_keys)


def _listed(overrides: str | list[str], *place: str) -> Iterator[tuple[str, Place]]:
    """One override or several, each with its place."""
    for index, text in enumerate(as_list(overrides)):
        yield key_of(text), (*place, index) if isinstance(overrides, list) else place


def _place_of(design: Design, factor: str, level: Level) -> Place:
    """Where a factor has a level."""
    place: Place = design.place(factor)
    listed: Any = None
    if isinstance(design, SweepDesign):
        listed = design.sweep.parameters[factor]
    elif isinstance(design, ComparisonDesign):
        listed = (design.comparison.variables or {}).get(factor) or design.comparison.values
        place = place if design.comparison.variables else ("comparison", "values")
    same = [index for index, other in enumerate(listed) if identity(other) == identity(level)] if isinstance(listed, list) else []
    return (*place, same[0]) if same else place


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
