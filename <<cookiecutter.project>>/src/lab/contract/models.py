"""What lab.yaml may say. Everything unknown is refused; each field's description is also what editors show."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.contract.base import Key, Model, Stage, Template, When, stands_for
from lab.contract.metrics import Hook, Metric, MetricEntry, resolve
from lab.contract.reports import Fact, Figure, ItemPictures, Question, Speed
from lab.errors import nearest
from lab.nested_keys import copied, flat, get, put


class TaskKey(Model):
    """The setting by which one project does several things, each with models, data and designs of its own."""

    key: Key
    """The setting; a design gives it as task: …"""
    same: list[Key] = []
    """Settings that must have the same value, since they tell what a data set or a model is for."""
    unused_packages: dict[str, list[str]] = {}
    """For a value of it the packages whose versions don't matter to a run."""


class ModelKeys(Model):
    """The settings by which a run takes the models of other runs."""

    one: Key | None = None
    """Names one: an experiment, tag, branch, commit, file, another design's arm, or champion."""
    several: Key | None = None
    """Names a list of them, as an ensemble does."""
    least: Annotated[int, Field(ge=1)] = 1
    """How many such a list has at least."""


class ModelOutput(Model):
    """An output of dvc.yaml that is a model."""

    output: str
    champion: str
    """Where it lies below models/champion once it is promoted."""
    when: When = {}
    """Settings that a run must have for that, of a list any; of several entries for one output, the first that fits."""
    tag: str = "model"
    """Tags of tracking servers that say where it is begin with this."""


class DatasetOutput(Model):
    """The output that later stages learn from and are tested on."""

    output: str
    name: Key | None = None
    """The setting that says what it is called."""


class Predictions(Model):
    """The table of what was said of each test item, a row an item: Parquet or CSV."""

    output: Annotated[str, stands_for("stage")]
    """Its path; {stage} stands for the stage that the design is about."""
    called: str = "item"
    """What an item is: image, document."""
    item: str = "path"
    """The column that tells items apart."""
    skip: list[str] = []
    """Columns that no metric needs: large ones are not read for a verdict."""
    slices: list[str] = []
    """Columns that divide the items: lab promote looks at each part by itself."""
    cluster: str | None = None
    """The column of items that belong together and are no independent evidence: a patient, a video."""


class FinalSplit(Model):
    """A third split of the items, beside those for validation and test, that `lab promote` alone opens."""

    settings: Annotated[dict[Key, Any], Field(min_length=1)]
    """What a run is set to that is measured on it. Stages should refuse that where LAB_FINAL is not in their
    environment."""
    items: str
    """The metric that counts the items of it: where that is absent or 0, the data has no such split."""
    drawn_by: list[Key] = []
    """Settings that say what goes into it: no design may change them, nor `settings`."""

    @property
    def closed(self) -> list[str]:
        """The settings that no design may name."""
        return [*self.settings, *self.drawn_by]


class Curves(Model):
    """The values of an epoch: a folder with a TSV file a metric (step, value), as DVCLive writes it."""

    output: str
    """The folder, as dvc.yaml declares it."""
    folder: str = ""
    """Where the files lie below it."""
    stage: Stage
    """The stage that writes them."""
    epochs: Key | None = None
    """The setting that says how many epochs there will be."""
    until: Key | None = None
    """The setting that ends a training after so many epochs and changes nothing else of it; null is its end."""
    progress: list[str] = []
    """Patterns of the metrics that are shown while it runs."""
    parts: dict[str, str] = {}
    """Words for the first part of their names, such as {val: the validation split} for val/loss and val/accuracy."""
    log: Annotated[str, stands_for("baseline", "name")] | None = None
    """Written while it runs: lines of JSON, {started}, {began} of the first epoch, and {epoch, ended, metrics} of each.
    Its path with {baseline} and {name} of the experiment."""


class Distinct(Model):
    """What of a stage tells two runs apart that were set differently."""

    output: str
    metrics: list[str] = []
    called: str
    """What it is, for people: weights, predictions."""


class KindWord(Model):
    """What a project's own name for a kind of design stands for."""

    kind: Literal["single", "sweep", "comparison", "ablation"]
    type: str | None = None
    """The experiment type of such a design, where it gives none."""


class Words(Model):
    """What designs may say besides, and what it stands for; `lab plan` shows it."""

    kinds: dict[str, KindWord] = {}
    """Other names for kinds of designs."""
    comparison: dict[str, Key] = {}
    """Words of a comparison for a setting and its values: with {models: model}, models: [a, b]."""


class Contract(Model):
    """What `lab` knows of a project."""

    types: Annotated[dict[str, Stage], Field(min_length=1)]
    """For each experiment type the stage of dvc.yaml that answers its question."""
    recipes: list[str] | None = None
    """The types whose runs make a model anew, so that seeds decide; test items do about all others. Left out, all."""
    seeds: list[Key] = ["seed"]
    """The settings that replicates differ in; all get the same value. [] where there is none."""
    folds: Key | None = None
    """The setting by which replicates are parts of a cross-validation, `k of n`: they train on much the same items."""
    metrics: dict[str, MetricEntry] = {}
    """By a metric's name (its file's in dvc.yaml, without folder and ending, and its key there) or a pattern with *."""
    parts: dict[str, str] = {}
    """Patterns before which a metric is one of some test items, and what it is then called: by {"*.sites.*": "{metric}
    at site {1}"} infer.sites.A.f1 is what infer.f1 is, counted over infer.sites.A.items and not over infer.items."""
    main: list[str] = []
    """The metrics that matter, the first one most; without a file's name, those of the design's stage."""
    told: list[str] = []
    """What is told of an arm beside its main metric; without a file's name, of the design's stage."""
    overview: list[str] = []
    """Columns of the table of all designs on a tracking server, of any stage."""
    metrics_in: list[str] = ["*"]
    """Patterns of the metrics files of dvc.yaml that are results."""
    task: TaskKey | None = None
    check: Hook | None = None
    """module:function that takes a run's settings, and returns a key and a sentence of each that no stage could use."""
    run_name: Template = "{date}_{feature}"
    """How runs are called, where their design doesn't say; {feature} is design, arm and seed."""
    names: dict[str, Key] = {}
    """Words for run_name beside {design}, {arm}, {seed} and any key."""
    tags: dict[str, Key] = {}
    """Settings that become tags on tracking servers."""
    raw_data: Key | None = None
    """The setting that names the file or folder with the raw data: runs on other data are other runs."""
    dataset: DatasetOutput | None = None
    test_split: list[Key] = []
    """The settings that tell which items a model was tested on."""
    test_split_name: Key | None = None
    """The one of them that people know it by."""
    model_keys: ModelKeys = ModelKeys()
    models: list[ModelOutput] = []
    final: FinalSplit | None = None
    predictions: Predictions | None = None
    curves: Curves | None = None
    effective: Annotated[str, stands_for("stage")] | None = None
    """What a stage notes of its run, its path with {stage}; docs/your-own-pipeline.md shows one."""
    attachments: list[str] = []
    """Folders whose small files go to tracking servers with a run."""
    neutral: dict[Stage, list[Key]] = {}
    """By stage the settings that may leave its output as it is: where and how fast, not what."""
    distinct: dict[Stage, Distinct] = {}
    baseline: Annotated[str, stands_for("task")] = "baseline"
    """The name of the design that measures the baseline; {task} stands for its task."""
    words: Words = Words()
    data_facts: list[Fact] = []
    speed: Speed = Speed()
    best_epoch: str | None = None
    """The metric that says which epoch was kept, counted from 1."""
    questions: list[Question] = []
    single: Question = Question(name="single", kind="single")
    """How a design of one arm is answered."""
    model_figures: list[Figure] = []
    """What each report shows of the models, below what answers its question: of several arms the best one's."""
    item_pictures: ItemPictures | None = None

    def is_recipe(self, kind: str) -> bool:
        """Whether an experiment type asks about a recipe, about which seeds decide, and not about models that exist."""
        return self.recipes is None or kind in self.recipes

    # Metrics

    def metric(self, name: str) -> Metric:
        """What is known of a metric; one that no pattern matches is told by its name alone."""
        if name not in self._resolved:
            self._resolved[name] = resolve(self.metrics, self.parts, name)
        return self._resolved[name]

    @cached_property
    def _resolved(self) -> dict[str, Metric]:
        return {}

    def main_metrics(self, stage: str) -> list[str]:
        """The full names of the metrics that matter in a stage, the first one most."""
        return [name if "." in name else f"{stage}.{name}" for name in self.main]

    def told_metrics(self, stage: str) -> list[str]:
        """The full names of what is told of an arm in a stage."""
        return [name if "." in name else f"{stage}.{name}" for name in self.told]

    def nearest_metric(self, name: str) -> str:
        """` Did you mean 'infer.f1_macro'?` for the most similar metric of the same file; empty where none is."""
        file, _, key = name.partition(".")
        keys = [known.removeprefix(f"{file}.") for known in self.metric_names if known.startswith(f"{file}.")]
        return nearest(key, keys).replace("'", f"'{file}.", 1) if keys else nearest(name, self.metric_names)

    @cached_property
    def metric_names(self) -> list[str]:
        """The names of metrics that can be told without a run."""
        stages = list(dict.fromkeys(self.types.values()))
        names = [name for stage in stages for name in (*self.main_metrics(stage), *self.told_metrics(stage))]
        patterns = [
            pattern for pattern in self.metrics if "*" not in pattern.removeprefix("*.").removeprefix("seconds.")
        ]
        names += [pattern.replace("*", stage) for stage in stages for pattern in patterns]
        return list(dict.fromkeys(names))

    @cached_property
    def measured_tasks(self) -> set[str]:
        """The tasks that metrics say they are measured of: of any other all may be."""
        return {task for entry in self.metrics.values() for task in entry.tasks}

    @property
    def item(self) -> str:
        """What a test item is called: image, document."""
        return self.predictions.called if self.predictions else Predictions.model_fields["called"].default

    def latency(self, stage: str) -> str | None:
        """The metric of a single answer's time, for designs about a stage; else the first that there is."""
        return self.speed.latency.get(stage) or next(iter(self.speed.latency.values()), None)

    def is_result(self, path: str) -> bool:
        """Whether a metrics file of dvc.yaml is one of results."""
        return any(fnmatchcase(path, pattern) for pattern in self.metrics_in)

    # Settings

    def seed_of(self, params: Mapping[str, Any]) -> Any:
        """The seed of a run; None where the project has none."""
        return get(params, self.seeds[0]) if self.seeds else None

    def without_seeds(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A flat config without the settings that replicates differ in."""
        return {key: value for key, value in params.items() if key not in self.seeds}

    def without_neutral(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A flat config without the settings that may leave every stage's output as it is."""
        neutral = tuple(f"{key}." for keys in self.neutral.values() for key in keys)
        return {key: value for key, value in flat(params).items() if not f"{key}.".startswith(neutral)}

    def with_seed(self, params: dict[str, Any], seed: int) -> dict[str, Any]:
        """A copy of a config with another seed."""
        changed = copied(params)
        for key in self.seeds:
            put(changed, key, seed)
        return changed

    def models_named(self, params: Mapping[str, Any]) -> list[str]:
        """What a run calls the models of others that it takes; none where it uses its own."""
        one = get(params, self.model_keys.one) if self.model_keys.one else None
        several = get(params, self.model_keys.several) if self.model_keys.several else None
        return [str(name) for name in ([one] if one else []) + list(several or [])]

    def task_of(self, params: Mapping[str, Any]) -> str:
        """What a run's task is; empty in a project with one."""
        return str(get(params, self.task.key) or "") if self.task else ""

    def fits(self, when: When, params: Mapping[str, Any]) -> bool:
        """Whether a run has these settings; a list stands for any of its values."""
        settings = ((get(params, key), wanted) for key, wanted in when.items())
        return all(value == wanted or (isinstance(wanted, list) and value in wanted) for value, wanted in settings)

    # Files

    def predictions_path(self, stage: str) -> str | None:
        """The output that has what was said of each test item in a stage."""
        return self.predictions.output.format(stage=stage) if self.predictions else None

    def effective_path(self, stage: str) -> str | None:
        """The output in which a stage notes what it was run with."""
        return self.effective.format(stage=stage) if self.effective else None

    def epoch_log_path(self, baseline: str, name: str) -> str | None:
        """The file that grows while an experiment runs, from the project's root."""
        return self.curves.log.format(baseline=baseline[:12], name=name) if self.curves and self.curves.log else None
