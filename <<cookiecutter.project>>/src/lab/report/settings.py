"""What the runs of a study were set to: how it differs from the baseline's params.yaml, and from arm to arm.

Where runs choose another file of a config group, such as another model, its name stands for all that is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import yaml

from lab.design.expansion import arms, is_bayesian
from lab.design.models import key_of
from lab.nested_keys import flat, nested
from lab.records import commit as checkout
from lab.records.record import FINISHED

if TYPE_CHECKING:
    from lab.design.models import Design
    from lab.records.record import Record
    from lab.records.study import Study

MOST_ARMS = 12  # whose settings are told one by one
MODELS = ("infer.model", "infer.members")


def settings(study: Study) -> tuple[str, str]:
    """What all runs have in common and the baseline has not, and what differs from arm to arm; both as YAML."""
    base, models = flat(checkout.commit(study.root, study.commit).params), models_of(study)
    runs = {
        arm: [
            settings_of(row.record) | told_with_commit(row.record, models.get(arm, {}))
            for row in rows
            if row.record and row.status == FINISHED
        ]
        for arm, rows in study.arms.items()
    }
    groups, keys = chosen([base, *(run for arm in runs.values() for run in arm)]), set_by(study.design)
    runs = {arm: [in_short(run, groups, keys) for run in found] for arm, found in runs.items()}
    everything = [run for arm in runs.values() for run in arm]
    if not everything:
        return "", ""
    missing = object()
    known = dict.fromkeys(key for run in everything for key in run)
    values = {key: [run.get(key, missing) for run in everything] for key in known}
    for key in list(values):  # training.lr, where conf/ has it as ${lr}
        short = key.rpartition(".")[2]
        if short != key and values[key] == values.get(short) and base.get(key) == base.get(short):
            del values[key]
    fixed = [key for key, found in values.items() if all(value == found[0] for value in found)]
    common = {key: values[key][0] for key in fixed if base.get(key, missing) != values[key][0]}
    differing = [key for key in values if key not in fixed]
    varied: dict[str, Any]
    if len(runs) > MOST_ARMS:
        varied = {key: distinct(value for value in values[key] if value is not missing) for key in differing}
    else:
        varied = {
            arm: {
                key: one_or_all(run[key] for run in found if key in run)
                for key in differing
                if any(key in run for run in found)
            }
            for arm, found in runs.items()
            if found and differing
        }
    return as_yaml(nested(common)), as_yaml(varied)


def chosen(configs: Iterable[dict[str, Any]]) -> set[str]:
    """The config groups of which not all configs have the same file: each says its own by `name`, as in `model.name`."""
    names: dict[str, set[str]] = {}
    for config in configs:
        for key, value in config.items():
            group, _, rest = key.partition(".")
            if rest == "name":
                names.setdefault(group, set()).add(str(value))
    return {group for group, found in names.items() if len(found) > 1}


def set_by(design: Design) -> set[str]:
    """The settings that a design names itself: `model.weights`."""
    overrides = [*design.base]
    if not is_bayesian(design):
        overrides += [text for arm in arms(design) for text in arm.overrides]
    return {*design.factors(), *map(key_of, overrides)}


def in_short(config: dict[str, Any], groups: set[str], keys: set[str]) -> dict[str, Any]:
    """Without what follows from the names of `groups`; what a design sets itself (`keys`) stays."""

    def stays(key: str) -> bool:
        group, _, rest = key.partition(".")
        return group not in groups or rest == "name" or any(f"{key}.".startswith(f"{own}.") for own in keys - groups)

    return {key: value for key, value in config.items() if stays(key)}


def models_of(study: Study) -> dict[str, dict[str, str]]:
    """The models that each arm measures, as the design names them: each run has the commits that they were."""
    design = study.design
    if is_bayesian(design):
        return {}
    named = {}
    for arm in arms(design):
        pairs = (each.partition("=") for each in (*design.base, *arm.overrides))
        named[arm.name] = {key: value.strip("'") for key, _, value in pairs if key in MODELS}
    return named


def told_with_commit(record: Record, named: dict[str, str]) -> dict[str, str]:
    """A run's models as its design names them, a single one with the commit that it was: `champion (a678550)`."""
    commit = str((record.params.get("infer") or {}).get("model") or "")
    is_other = re.fullmatch("[0-9a-f]{40}", commit) and not commit.startswith(named.get("infer.model", commit))
    return named | ({"infer.model": f"{named['infer.model']} ({commit[:7]})"} if is_other else {})


def settings_of(record: Record) -> dict[str, Any]:
    """A run's config by dotted keys, without its seed and what it belongs to."""
    return flat({key: value for key, value in record.params.items() if key not in ("seed", "experiment")})


def one_or_all(values: Iterable[Any]) -> Any:
    """The value that all seeds share, or a list of them: an ensemble's members are other commits with each seed."""
    found = distinct(values)
    return found[0] if len(found) == 1 else found


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def as_yaml(content: dict[str, Any]) -> str:
    """Such settings as text; empty where there are none."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110) if content else ""


def own(study: Study, record: Record) -> str:
    """How a run's settings differ from the baseline's, as YAML; empty where they don't."""
    base, found = flat(checkout.commit(study.root, study.commit).params), settings_of(record)
    found = in_short(found, chosen([base, found]), set_by(study.design))
    return as_yaml(nested({key: value for key, value in found.items() if key not in base or base[key] != value}))
