"""Factorials: the combinations of a fraction, and which effects a set of combinations can't tell from one another.

An effect is that of a factor, or an interaction: how much the effect of one depends on another. Those of three and more
are taken for noise. Montgomery, Design and Analysis of Experiments, 8th edition, 2012, chapters 6 and 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from lab.design.levels import Level, identity

if TYPE_CHECKING:
    import numpy as np

Term = tuple[str, ...]  # a factor, or two: their interaction
Crossed = Mapping[str, Sequence[Level]]  # factor -> its levels, in order
HIGHEST = 5  # resolution: what tells interactions of three factors apart nobody asks for
MOST_FACTORS = 20  # of a fraction
TINY = 1e-9  # what rounding leaves of a coefficient


@lru_cache(maxsize=32)
def fraction(factors: int, resolution: int) -> list[tuple[bool, ...]]:
    """The smallest regular fraction of a factorial with two levels each: (runs, factors), in the order of a grid.

    True is the level that the first of all combinations has: a fraction has that one. With resolution 3 factors are
    told from one another, with 4 also from interactions, and with 5 these from one another as well: of as many runs the
    one that tells most. Few factors take all combinations.
    """
    from pydoe import fracfact_by_res  # half a second

    smallest = fracfact_by_res(factors, resolution)
    higher = (fracfact_by_res(factors, more) for more in range(HIGHEST, resolution, -1))
    chosen = next((states for states in higher if len(states) == len(smallest)), smallest)
    return sorted((tuple(bool(state > 0) for state in row) for row in chosen), reverse=True)


@dataclass(frozen=True)
class Model:
    """What a set of combinations tells.

    Attributes:
        matrix: (rows, all columns): the blocks' first, then those of each effect that is told.
        columns: effect -> its columns in the matrix; one of a factor with two levels, or of two such factors.
        aliases: effect that is told -> those that are in its figure as well.
    """

    matrix: np.ndarray
    columns: dict[Term, list[int]]
    aliases: dict[Term, list[Term]]

    def hidden_in(self, term: Term) -> list[Term]:
        """The effects that are told with one in their figures, since it can't be told by itself."""
        return [told for told, others in self.aliases.items() if term in others]


def model(rows: Sequence[Mapping[str, Level]], crossed: Crossed, blocks: Sequence[object] = ()) -> Model:
    """Which effects the rows tell, as far as their rank goes: factors first, then interactions, in the design's order.

    What is left out is in the figures of what is told, unless it is nought: the alias matrix of Box and Wilson, J.
    Royal Statistical Society B 13, 1951.

    Args:
        rows: the levels of each run.
        crossed: the factors with their levels.
        blocks: what each run belongs to, such as its seed; left out, one for all.
    """
    import numpy as np

    blocks = blocks or [0] * len(rows)
    coded = {factor: contrasts([row[factor] for row in rows], levels) for factor, levels in crossed.items()}
    terms: list[Term] = [*((factor,) for factor in crossed), *combinations(crossed, 2)]
    matrix = np.column_stack([[float(block == other) for block in blocks] for other in dict.fromkeys(blocks)])
    span = matrix / np.linalg.norm(matrix, axis=0)  # an orthonormal basis of what the columns so far can make
    columns: dict[Term, list[int]] = {}
    left_out: dict[Term, np.ndarray] = {}
    for term in terms:
        own = coded[term[0]]
        if len(term) == 2:
            own = np.column_stack([a * b for a in coded[term[0]].T for b in coded[term[1]].T])
        rest = own - span @ (span.T @ own)
        directions, sizes, _ = np.linalg.svd(rest - span @ (span.T @ rest), full_matrices=False)
        if len(sizes) == own.shape[1] and sizes.min() > TINY * len(rows):
            columns[term] = list(range(matrix.shape[1], matrix.shape[1] + own.shape[1]))
            matrix, span = np.column_stack([matrix, own]), np.column_stack([span, directions])
        else:
            left_out[term] = own
    aliases: dict[Term, list[Term]] = {term: [] for term in columns}
    for term, own in left_out.items():
        shares = np.abs(np.linalg.lstsq(matrix, own, rcond=None)[0]).max(axis=1)
        for told, places in columns.items():
            if shares[places].max() > TINY:
                aliases[told].append(term)
    return Model(matrix, columns, aliases)


def contrasts(values: Sequence[Level], levels: Sequence[Level]) -> np.ndarray:
    """(rows, levels - 1): of two levels the second minus the first, one column of ±½; of more, each minus the mean."""
    import numpy as np

    known = [identity(level) for level in levels]
    places = [known.index(identity(value)) for value in values]
    if len(levels) == 2:
        return np.array([[place - 0.5] for place in places])
    return np.array([[float(place == other) - float(place == 0) for other in range(1, len(known))] for place in places])


def in_order(term: Term, crossed: Crossed) -> Term:
    """An effect with its factors in the design's order."""
    return tuple(factor for factor in crossed if factor in term)


def laid_out(found: Model, crossed: Crossed) -> bool:
    """Whether the rows tell the factors from one another: tied together, as by zip, they may not."""
    return bool(crossed) and all((factor,) in found.columns for factor in crossed)


# In words


def called(term: Term, names: Mapping[str, str]) -> str:
    """`ema × warmup`, by what the factors are called."""
    return " × ".join(names.get(factor, factor) for factor in term)


def told_apart(found: Model, names: Mapping[str, str]) -> list[str]:
    """What an effect can't be told from, a sentence for each of which that is so."""
    return [
        f"{called(term, names)} can't be told from {', '.join(called(other, names) for other in others)}"
        for term, others in found.aliases.items()
        if others
    ]


def confused(term: Term, found: Model) -> tuple[list[Term], bool]:
    """What an effect can't be told from, and whether that leaves its claim undecided.

    A factor's effect is believed to be larger than the interactions in its figure. What is no larger by its order is as
    likely to have made the figure.
    """
    others = found.aliases.get(term, [])
    if term not in found.columns:
        others = found.hidden_in(term)
    return others, term not in found.columns or any(len(other) <= len(term) for other in others)
