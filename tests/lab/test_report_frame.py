"""Which metric of a design's runs a name stands for."""

from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import UserError
from lab.report import frame

LATENCY = "infer_speed.batch_1.latency_ms.p50"
METRICS = {
    "prepare": {f"images_{i}": i for i in range(9)},
    "train": {"val_mAP50": 0.5},
    "infer": {"images": 60, "mAP50_95": 0.4, "mAP50": 0.6},
    "infer_speed": {"batch_1": {"latency_ms": {"p50": 7.0}}},
}


def study(*, own: list[str]) -> Any:
    records = [SimpleNamespace(metrics=METRICS)]
    return SimpleNamespace(design=SimpleNamespace(name="some"), stage="infer", metrics=own, records=records)


def refused(name: str) -> str:
    with pytest.raises(UserError) as caught:
        frame.metric(study(own=["infer.mAP50", LATENCY]), name)
    return str(caught.value)


def test_a_metric_may_be_given_by_its_end() -> None:
    assert frame.metric(study(own=[]), "mAP50") == "infer.mAP50"
    assert frame.metric(study(own=[]), "p50") == LATENCY


@pytest.mark.parametrize("name", ["mAP", "map"])
def test_the_beginning_of_a_metric_finds_those_that_begin_so_the_designs_own_first(name: str) -> None:
    assert refused(name) == (f"no run of some has a metric {name}. Did you mean 'infer.mAP50' or 'infer.mAP50_95'?")


def test_a_name_like_none_gets_the_designs_own_metrics_and_its_stages_first() -> None:
    assert f"There are infer.mAP50, {LATENCY}, infer.images, infer.mAP50_95, prepare.images_0," in refused("xyz")
