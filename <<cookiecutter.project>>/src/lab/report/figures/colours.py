"""Which colour an arm has: the same in all figures of a report, and told apart by colour-blind people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.report.figures.drawing import COLOURS, INK

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.study import Study


def coloured(study: Study, verdict: Verdict) -> dict[str, str]:
    """The arms that have a colour: the reference is as black as the text, the best is blue.

    Of a few arms the others have one each, too; of many they have none, and are grey where they are drawn.
    """
    arms, best = list(study.arms), verdict.winner or verdict.best
    if len(arms) > len(COLOURS):
        arms = [arm for arm in arms if arm in (best, study.reference)]
    others = sorted((arm for arm in arms if arm != study.reference), key=lambda arm: arm != best)
    found = dict(zip(others, COLOURS, strict=False)) | {study.reference: INK}
    return {arm: found[arm] for arm in arms}
