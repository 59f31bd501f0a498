"""The champion's model card, in the format of Hugging Face's hub: made from its records, and only from them.

models/champion/README.md is written with champion.yaml in one commit. The block at its top is what the hub reads
(https://huggingface.co/docs/hub/model-cards): there is one result a metric of the design.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.markdown import plain, table
from lab.nested_keys import get
from lab.records.champion import FOLDER, Champion

if TYPE_CHECKING:
    from lab.contract import Contract

CARD = FOLDER / "README.md"


def text(champion: Champion, contract: Contract, params: dict[str, Any]) -> str:
    """The card. `params` is the composed config of the champion's run; empty where this clone has not fetched it."""
    index = [{"name": champion.experiment, "results": results(champion, contract, params)}]
    head = yaml.dump({"model-index": index}, Dumper=yaml12.Dumper, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n\n".join(body(champion, contract, params)) + "\n"


def results(champion: Champion, contract: Contract, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The run's own value of each metric, or its arm's mean where it has none, as the hub reads it."""
    task, data = (
        str((get(params, key) if key else None) or "other")
        for key in (contract.task and contract.task.key, contract.dataset and contract.dataset.name)
    )
    return [
        {
            "task": {"type": task},
            "dataset": {"name": data, "type": data, "revision": champion.data},
            "metrics": [
                {
                    "type": name,
                    "name": contract.metric(name).title,
                    "value": measured.mean if measured.value is None else measured.value,
                }
            ],
        }
        for name, measured in champion.metrics.items()
    ]


def body(champion: Champion, contract: Contract, params: dict[str, Any]) -> Iterator[str]:
    """What a person reads."""
    yield f"# {plain(champion.experiment)}"
    yield (
        f"The champion of the design {plain(champion.design)}: its arm {plain(champion.arm)}, seed {champion.seed}, "
        f"promoted on {champion.promoted:%Y-%m-%d}. {plain(champion.why)}."
    )
    if champion.forced:
        against = plain("; ".join(champion.forced.objections))
        yield f"**Forced**, because {plain(champion.forced.reason)}. What spoke against it: {against}."
    rows = []
    for name, measured in champion.metrics.items():
        bounds = (measured.low, measured.high)
        interval = "" if None in bounds else " to ".join(f"{bound:.4g}" for bound in bounds)
        own = "" if measured.value is None else f"{measured.value:.4g}"
        rows.append((f"{contract.metric(name).title} ({name})", own, f"{measured.mean:.4g}", interval, measured.seeds))
    yield table(("metric", "this model", "mean", "95 % interval", "seeds"), rows, texts=[0])
    facts = {
        "data": champion.data,
        "code": champion.code,
        "run": champion.revision,
        "started from": champion.baseline,
        "replaces": champion.replaces,
    } | {name: get(params, key) for name, key in contract.names.items()}
    yield table(("made from", ""), [(name, value) for name, value in facts.items() if value is not None], texts=[0, 1])
