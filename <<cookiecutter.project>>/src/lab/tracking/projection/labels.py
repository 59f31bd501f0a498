"""What tells a run from the others of its design: what the design varies, and what that is in the run's arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.design.models import AblationDesign, ComparisonDesign, Design, SweepDesign

LABELS = ("arm", "seed", "comparison.value", "ablation.component", "ablation.state", "sweep.strategy")


def question(design: Design) -> dict[str, Any]:
    """Tags that all of a design's runs have: what it varies."""
    if isinstance(design, SweepDesign):
        return {"sweep.strategy": design.sweep.strategy}
    if isinstance(design, ComparisonDesign):
        return {"comparison.variable": ",".join(design.factors())}
    return {}


def answer(design: Design, arm: str, levels: Mapping[str, Any], index: int | None) -> dict[str, Any]:
    """Tags of one of its runs: what that is there. `index` is the run's number in a sweep."""
    if isinstance(design, SweepDesign):
        return {"sweep.index": index}
    if isinstance(design, ComparisonDesign):
        return {"comparison.value": arm}
    if isinstance(design, AblationDesign):
        return _ablation(design, levels)
    return {}


def _ablation(design: AblationDesign, levels: Mapping[str, Any]) -> dict[str, Any]:
    """Which component a run is without or, where they are added one by one, which it has."""
    if not levels:
        return {}
    kept = [name for name, is_there in levels.items() if is_there]
    gone = [name for name in levels if name not in kept]
    if not kept or not gone:  # the arm with all of them, or with none
        return {"ablation.component": "all", "ablation.state": "disabled" if gone else "enabled"}
    if design.ablation.method == "add_one_in":
        return {"ablation.component": "+".join(kept), "ablation.state": "enabled"}
    return {"ablation.component": "+".join(gone), "ablation.state": "disabled"}


def settings(design: Design, arm: str, levels: Mapping[str, Any]) -> Mapping[str, Any]:
    """What makes an arm, by key: its levels, or where a comparison gives it a name its overrides."""
    values = design.comparison.values if isinstance(design, ComparisonDesign) else ()
    if not isinstance(values, Mapping):
        return levels
    overrides = values[arm]
    parts = (line.partition("=") for line in ([overrides] if isinstance(overrides, str) else overrides))
    return {key.lstrip("+~"): value for key, _, value in parts}
