"""benchmarks/rigor.py in its short form: levels that are exceeded beyond chance are found in seconds."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
rigor = import_module("rigor")
SHORT = {  # studies of a row: so few show what was wrong before
    "crashes": 200,
    "guardrail-3": 100,
    "promote-12": 200,
    "luck-train-300-10": 30,
    "clusters-infer": 60,
    "constant-0.97-10": 25,
    "grows-wrong-0": 40,
    "promised": 80,
    "effect-2-all-2": 100,
}
ROWS = {row.name: row for row in rigor.ROWS}


@pytest.mark.parametrize("name", SHORT)
def test_no_level_is_exceeded_beyond_chance(name: str) -> None:
    found = rigor.measured(ROWS[name], SHORT[name], seed=0)
    assert found["holds"], rigor.told(found)


def test_an_agent_wins_next_to_nothing_by_a_hundred_proposals_that_change_nothing() -> None:
    won = [rigor.promotions(np.random.default_rng(seed), 100) for seed in range(5)]
    assert max(won) <= 5
    assert rigor.promotions(np.random.default_rng(0), 20, better=4.0) > 5, "and better ones get through"


@pytest.mark.nightly
@pytest.mark.parametrize("name", ROWS)
def test_no_level_is_exceeded_by_much(name: str) -> None:
    found = rigor.measured(ROWS[name], 1000, seed=1)
    assert found["holds"], rigor.told(found)
