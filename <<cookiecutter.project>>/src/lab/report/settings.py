"""What the runs of a study were set to: how it differs from the baseline's params.yaml, and from arm to arm.

Where runs choose another file of a config group, such as another model, its name stands for all that is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from lab import secrets
from lab.design.expansion import arms, is_bayesian
from lab.design.overrides import key_of
from lab.design.plan import MEMBERSHIP
from lab.nested_keys import flat, get, nested

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.contract.models import ModelKeys
    from lab.design.models import Design
    from lab.study import Record, Study

MOST_ARMS = 12  # whose settings are told one by one
MISSING = object()

Config = dict[str, Any]  # by dotted keys


def settings(study: Study) -> tuple[str, str]:
    """What all runs have in common and the baseline has not, and what differs from arm to arm; both as YAML."""
    base, by_arm = flat(study.baseline.params), configs(study)
    values = without_copies(by_key([config for arm in by_arm.values() for config in arm]), base)
    fixed = {key: of_runs[0] for key, of_runs in values.items() if all(value == of_runs[0] for value in of_runs)}
    common = {key: value for key, value in fixed.items() if base.get(key, MISSING) != value}
    varied = {key: of_runs for key, of_runs in values.items() if key not in fixed}
    differing = by_key_alone(varied) if len(by_arm) > MOST_ARMS else by_arm_and_key(by_arm, [*varied])
    return as_yaml(nested(common)), as_yaml(differing)


def configs(study: Study) -> dict[str, list[Config]]:
    """The settings of each arm's finished runs, in short."""
    base, models = flat(study.baseline.params), models_of(study)
    whole = {
        arm: [
            settings_of(study.contract, each.record)
            | named_with_commit(study.contract.model_keys, each.record, models.get(arm, {}))
            for each in replicates
            if each.finished
        ]
        for arm, replicates in study.searched.items()
    }
    groups, keys = chosen([base, *(config for arm in whole.values() for config in arm)]), set_by(study.design)
    return {arm: [in_short(config, groups, keys) for config in of_arm] for arm, of_arm in whole.items()}


def by_key(runs: Sequence[Config]) -> dict[str, list[Any]]:
    """For each setting its value in each run; MISSING where that has none."""
    return {key: [run.get(key, MISSING) for run in runs] for key in dict.fromkeys(key for run in runs for key in run)}


def without_copies(values: dict[str, list[Any]], base: Config) -> dict[str, list[Any]]:
    """Without settings that repeat another one in all runs: training.lr, where the config has it as ${lr}."""

    def is_copy(key: str) -> bool:
        short = key.rpartition(".")[2]
        return short != key and values[key] == values.get(short) and base.get(key) == base.get(short)

    return {key: of_runs for key, of_runs in values.items() if not is_copy(key)}


def by_key_alone(varied: Mapping[str, list[Any]]) -> dict[str, Any]:
    """For each setting all its values, where there are too many arms to be told one by one."""
    return {key: distinct(value for value in of_runs if value is not MISSING) for key, of_runs in varied.items()}


def by_arm_and_key(by_arm: Mapping[str, list[Config]], keys: Sequence[str]) -> dict[str, Any]:
    """For each arm that has finished its value of each setting that it has, or a list of those that its seeds have."""
    return {
        arm: {
            key: one_or_all(run[key] for run in runs if key in run) for key in keys if any(key in run for run in runs)
        }
        for arm, runs in by_arm.items()
        if runs and keys
    }


def chosen(configs: Iterable[Config]) -> set[str]:
    """The config groups of which not all configs have the same file: each says its own by `name`: `model.name`."""
    names: dict[str, set[str]] = {}
    for config in configs:
        for key, value in config.items():
            group, _, rest = key.partition(".")
            if rest == "name":
                names.setdefault(group, set()).add(str(value))
    return {group for group, of_group in names.items() if len(of_group) > 1}


def set_by(design: Design) -> set[str]:
    """The settings that a design names itself: `model.weights`."""
    overrides = [*design.base]
    if not is_bayesian(design):
        overrides += [text for arm in arms(design) for text in arm.overrides]
    return {*design.factors(), *map(key_of, overrides)}


def in_short(config: Config, groups: set[str], keys: set[str]) -> Config:
    """Without what follows from the names of `groups`; what a design sets itself (`keys`) stays."""

    def stays(key: str) -> bool:
        group, _, rest = key.partition(".")
        return group not in groups or rest == "name" or any(f"{key}.".startswith(f"{own}.") for own in keys - groups)

    return {key: value for key, value in config.items() if stays(key)}


def models_of(study: Study) -> dict[str, dict[str, str]]:
    """The models that each arm measures, as the design names them: each run has the commits that they were."""
    design, keys = study.design, study.contract.model_keys
    if is_bayesian(design):
        return {}
    named = {}
    for arm in arms(design):
        pairs = (override.partition("=") for override in (*design.base, *arm.overrides))
        named[arm.name] = {key: value.strip("'") for key, _, value in pairs if key in (keys.one, keys.several)}
    return named


def named_with_commit(keys: ModelKeys, record: Record, named: dict[str, str]) -> dict[str, str]:
    """A run's models as its design names them, a single one with the commit that it was: `champion (a678550)`."""
    commit = str(get(record.params, keys.one) or "") if keys.one else ""
    is_other = re.fullmatch("[0-9a-f]{40}", commit) and not commit.startswith(named.get(str(keys.one), commit))
    return named | ({str(keys.one): f"{named[str(keys.one)]} ({commit[:7]})"} if is_other else {})


def settings_of(contract: Contract, record: Record) -> Config:
    """A run's config by dotted keys, without its seed and what it belongs to."""
    return contract.without_seeds(flat({key: value for key, value in record.params.items() if key != MEMBERSHIP}))


def one_or_all(values: Iterable[Any]) -> Any:
    """The value that all seeds share, or a list of them: an ensemble's members are other commits with each seed."""
    several = distinct(values)
    return several[0] if len(several) == 1 else several


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def as_yaml(content: dict[str, Any]) -> str:
    """Such settings as text, without secrets; empty where there are none."""
    if not content:
        return ""
    return secrets.hide(yaml.safe_dump(without_secrets(content), sort_keys=False, allow_unicode=True, width=110))


def without_secrets(content: dict[str, Any]) -> dict[str, Any]:
    """Settings with what is called a secret blanked."""
    return {
        key: without_secrets(value) if isinstance(value, dict) else secrets.HIDDEN if secrets.is_secret(key) else value
        for key, value in content.items()
    }


def own(study: Study, record: Record) -> str:
    """How a run's settings differ from the baseline's, as YAML; empty where they don't."""
    base, config = flat(study.baseline.params), settings_of(study.contract, record)
    config = in_short(config, chosen([base, config]), set_by(study.design))
    return as_yaml(nested({key: value for key, value in config.items() if key not in base or base[key] != value}))
