"""Stages that say something of each test item, by which looks at growing seeds are judged as well."""

from __future__ import annotations

from pathlib import Path

import yaml

GROWS = {  # by seeds and items 0.2 is told at the first look, by seeds alone later
    "kind": "comparison",
    "type": "train",
    "title": "Is a larger rate better?",
    "hypothesis": {
        "claim": "It is good.",
        "metric": "infer.f1_macro",
        "versus": 0.1,
        "min_effect": 0.01,
        "expected": 0.5,
    },
    "comparison": {"variable": "lr", "values": [0.1, 0.2, 0.25]},
    "seeds": {"from": 2, "to": 3},
}
PREDICTED = "results/infer/predictions.csv"
MEASURED = """    return {"f1_macro": lr + seed / 1000}
"""
OF_ITEMS = """    told = items(lr, seed)
    return {"f1_macro": sum(told) / len(told)}


def items(lr, seed):
    \"\"\"Whether a training with this rate and seed tells each of 40 items: some are harder than others.\"\"\"
    luck = random.Random(f"{lr} {seed}")
    return [0.8 * random.Random(item).random() + 0.2 * luck.random() < 0.4 + lr for item in range(40)]
"""
PREDICTIONS = """
if stage == "infer":
    rows = "".join(f"{item},{int(told)}\\n" for item, told in enumerate(items(lr, seed)))
    write("results/infer/predictions.csv", "path,told\\n" + rows)
"""
HOOK = '''"""The metric of each item."""


def mean(frame, metric):
    told = frame["told"].to_numpy(float)
    return lambda weights: told @ weights / weights.sum(0)
'''


def say_of_items(folder: Path) -> None:
    """Change a small project, before it is committed."""
    script = folder / "src" / "stand_in.py"
    text = script.read_text().replace("import json, os", "import json, os, random")
    assert MEASURED in text
    script.write_text(text.replace(MEASURED, OF_ITEMS) + PREDICTIONS)
    (folder / "src" / "items.py").write_text(HOOK)
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    pipeline["stages"]["infer"]["outs"] = [PREDICTED]
    contract = yaml.safe_load((folder / "lab.yaml").read_text())
    contract["predictions"] = {"output": PREDICTED.replace("infer", "{stage}")}
    contract["metrics"]["*.f1_macro"]["per_item"] = "items:mean"
    for name, content in (("dvc.yaml", pipeline), ("lab.yaml", contract)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write(f"/{PREDICTED}\n")
