"""The configuration of a run: YAML to typed options, with errors that name the key.

The options of each part are declared beside it; this file composes them. A YAML file holds what
differs from the defaults. Nothing in it is code: no expression is evaluated and no path imported.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Union

import yaml
from pydantic import (
    ConfigDict,
    Field,
    PositiveInt,
    SerializeAsAny,
    create_model,
    field_validator,
    model_validator,
)

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.selection.cuts import CutOptions
from parttag.data.selection.folds import FoldOptions
from parttag.data.selection.jet_weights import NegativeWeights
from parttag.data.selection.reweight import FlattenOptions, ReweightOptions
from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature, ColumnName
from parttag.jets.feature_lists import resolved_features
from parttag.jets.features import feature_names
from parttag.jets.targets import TargetOptions
from parttag.metrics import EvaluationOptions, check_options
from parttag.migrations.configurations import CONFIGURATION, upgraded_configuration
from parttag.migrations.formats import VERSION_KEY
from parttag.models import MODELS, ModelOptions
from parttag.options import LocalName, Name, Options, Texts, read_options
from parttag.runs.evaluation_section import drop_other_classes, with_evaluation
from parttag.runs.feature_options import (
    FeatureOfColumn,
    Features,
    JetFeatures,
    JetFeaturesOptions,
    column_features,
    network_features,
    replaced,
    wanted_columns,
)
from parttag.runs.kind_options import check_kinds, momenta_of_network
from parttag.runs.task_columns import (
    TargetName,
    check_tasks,
    learned_targets,
    with_references,
    with_truth,
)
from parttag.runs.yaml_files import apply_overrides, read_content
from parttag.training.objectives import OBJECTIVES, ObjectiveOptions
from parttag.training.objectives.classify import ClassificationOptions, ClassifyOptions
from parttag.training.objectives.task_options import TasksOptions
from parttag.training.optimizers import OptimizerOptions, RangerOptions
from parttag.training.options import TrainingOptions
from parttag.training.schedules import FlatDecayOptions, ScheduleOptions
from parttag.training.transfer import InitOptions

CONFIG, PROVENANCE = "config.yaml", "provenance.json"
"""What every run's directory holds."""

_DEFAULT_FEATURES = "kin"


class DataOptions(Options):
    """The jets: files, globs, directories or stores, relative to where the command is run."""

    train: Texts = ()
    """Jets to train on."""
    num_train_jets: PositiveInt | None = None
    """Train on so many of them, drawn at random; null for all."""
    draw_by_seed: bool = False
    """Draw them by ``training.seed``: then the spread over seeds has in it which jets were drawn.
    Else every seed is trained on the same."""
    val: Texts = ()
    """Jets that say which epoch is best."""
    test: Texts = ()
    """Jets that the trained network is evaluated on at the end or, if its objective gives no
    scores, a probe of it."""
    classes: dict[Name, Texts] = Field(default_factory=dict)
    """Name of each class, in the order of the logits, and the label branches that make it. Without
    any, all jets are taken, for a training that needs no labels."""
    columns: ColumnsOptions | None = None
    """What the branches of files in a layout of their own mean."""
    cuts: CutOptions = CutOptions()
    """Ranges outside of which jets are left out."""
    test_cuts: CutOptions | None = None
    """Those of jets that the trained network is evaluated on; null: the same."""
    flatten_pt: FlattenOptions | None = None
    """Weigh the training jets so that every class has the same spectrum of the jet's pT."""
    reweight: ReweightOptions | None = None
    """Weigh the training jets so that every class has the same spectrum of one or two jet
    variables."""
    negative_weights: NegativeWeights = "refuse"
    """What jets of negative weight count for in loss and metrics: refuse them, ``keep`` the signs,
    or take the weights as ``absolute``."""
    folds: FoldOptions | None = None
    """Train as many networks as folds, each without the jets of its fold: every jet is then scored
    by the one that has not seen it."""
    strict: bool = False
    """Refuse bad jets instead of leaving them out."""

    @model_validator(mode="after")
    def _has_one_reweighting(self) -> "DataOptions":
        if self.flatten_pt is not None and self.reweight is not None:
            raise ValueError("name one of flatten_pt and reweight; reweight can do both")
        return self

    @property
    def cuts_of_test(self) -> CutOptions:
        """The cuts of jets that the trained network is evaluated on."""
        return self.cuts if self.test_cuts is None else self.test_cuts


def _add_version(schema: dict[str, Any]) -> None:
    """Say in the JSON schema what a file may say of its version; no option of a run is it."""
    version = {"type": "integer", "minimum": 0, "maximum": CONFIGURATION.version}
    schema["properties"] = {VERSION_KEY: version, **schema["properties"]}


class RunConfig(Options):
    """Everything that decides what a run does.

    What is read is of a class below it, ``run_config_class()``, which knows the options of every
    network and objective.
    """

    model_config = ConfigDict(json_schema_extra=_add_version)

    data: DataOptions
    features: Features = _DEFAULT_FEATURES
    """A set of particle features (kin, kinpid, full), or a list of sets, features and columns. To
    be left out for networks that make their own inputs from four-momenta. A mapping gives such a
    set or list for each kind of particles (``{charged: [kin, charge], neutral: kin}``), of which a
    network has an input each; kinds that are not named are left out. There, pt, energy, mass, eta
    and abs_eta are those of the particle."""
    jet_features: JetFeatures = JetFeaturesOptions()
    """Quantities of the jet that the network is given besides its particles."""
    targets: dict[TargetName, TargetOptions] = Field(default={})
    """Columns of the jets that a network learns to tell, by names that objective tasks lists."""
    model: SerializeAsAny[ModelOptions]
    objective: SerializeAsAny[ObjectiveOptions] = ClassifyOptions()
    optimizer: OptimizerOptions = RangerOptions()
    schedule: ScheduleOptions = FlatDecayOptions()
    training: TrainingOptions = TrainingOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    init_from: InitOptions | None = None
    """Weights to start from; null for fresh ones."""
    tokenizer_from: LocalName | None = None
    """Run of objective tokenize, or a checkpoint of one, for a training that reads or predicts
    tokens."""

    @field_validator("features")
    @classmethod
    def _features_exist(cls, features: Features) -> Features:
        resolved_features(features)
        return features

    @model_validator(mode="after")
    def _classes_suffice(self) -> "RunConfig":
        objective = OBJECTIVES[self.objective.name]
        if objective.needs_labels_with(self.objective) and len(self.data.classes) < 2:
            raise InputError(
                f"data.classes has {len(self.data.classes)} entries, but objective "
                f"{self.objective.name} needs two or more: name the classes and their labels"
            )
        return self

    @model_validator(mode="after")
    def _tasks_are_known(self) -> "RunConfig":
        check_tasks(self.objective, self.targets, tuple(self.data.classes))
        if self.is_multi_label and (self.data.reweight or self.data.flatten_pt):
            raise InputError(
                "data.reweight: it weighs classes of which each jet is of one; leave it out with "
                "multi_label"
            )
        return self

    @model_validator(mode="after")
    def _evaluation_fits(self) -> "RunConfig":
        if self.data.classes:
            check_options(tuple(self.data.classes), self.evaluation)
        return self

    @model_validator(mode="after")
    def _jets_can_be_compared(self) -> "RunConfig":
        if self.objective.name == "contrastive" and self.training.batch_size < 2:
            raise InputError(
                "training.batch_size is 1, but objective contrastive tells the jets of a batch "
                "apart; make it 2 or more"
            )
        return self

    @model_validator(mode="after")
    def _features_are_read(self) -> "RunConfig":
        name = self.model.name
        is_other = self.network_features != feature_names(_DEFAULT_FEATURES)
        if is_other and not MODELS[name].network.takes_features(self.model):
            key = "features" if self.features != _DEFAULT_FEATURES else "jet_features"
            raise InputError(
                f"{key}: {name} makes its own inputs from four-momenta; leave {key} out"
            )
        beside = self.jet_features.names and self.jet_features.to == "representation"
        if beside:
            MODELS[name].network.refuse_jet_features()
        if beside and not self.gives_predictions:
            raise InputError(
                f"jet_features: objective {self.objective.name} makes nothing of them beside the "
                "representation; leave them out, or give them to particles"
            )
        names = self.network_features
        check_kinds(self.model, names, self.data.columns, self.wanted_columns)
        return self

    @property
    def network_features(self) -> tuple[str, ...]:
        """The names of what the network reads of every particle."""
        return network_features(self.features, self.jet_features)

    @property
    def head_features(self) -> tuple[ColumnName, ...]:
        """The names of what the head reads of every jet beside the representation."""
        jet = self.jet_features
        return jet.resolved if jet.to == "representation" else ()

    @property
    def column_features(self) -> tuple[FeatureOfColumn, ...]:
        """The features of particles and jets that are made of columns."""
        return column_features(self.features, self.jet_features)

    @property
    def wanted_columns(self) -> WantedColumns:
        """The columns that these are made of, and what targets are relative to."""
        of_network = momenta_of_network(self.model, self.network_features)
        found = wanted_columns(self.features, self.jet_features, self.data.columns, of_network)
        found = with_references(found, self.learned_targets)
        folds = self.data.folds
        if folds is None or folds.by in found.jets:
            return found
        return replace(found, either=(folds.by,), asked_by="data.folds.by")

    @property
    def truth_columns(self) -> WantedColumns:
        """The same, and the truth that the tasks of the network are measured by."""
        targets, columns = self.learned_targets, self.data.columns
        return with_truth(self.wanted_columns, self.objective, targets, columns)

    @property
    def learned_targets(self) -> dict[str, TargetOptions]:
        """The targets that are tasks of the network."""
        return learned_targets(self.objective, self.targets)

    def with_targets(self, targets: Mapping[str, TargetOptions]) -> "RunConfig":
        """Return the configuration with some targets changed."""
        return self.model_copy(update={"targets": {**self.targets, **targets}})

    @property
    def training_columns(self) -> WantedColumns:
        """The same, and those that the weights of a training are made of."""
        wanted, reweight = self.truth_columns, self.data.reweight
        columns = reweight.columns if reweight is not None else ()
        return replace(wanted, jets=tuple(dict.fromkeys((*wanted.jets, *columns))))

    def with_column_features(
        self, change: Callable[[FeatureOfColumn], ColumnFeature]
    ) -> "RunConfig":
        """Return the configuration with what features are made of columns changed."""
        features, jet_features = replaced(self.features, self.jet_features, change)
        return self.model_copy(update={"features": features, "jet_features": jet_features})

    @property
    def is_classifier(self) -> bool:
        """Whether the trained network tells the classes apart."""
        return OBJECTIVES[self.objective.name].gives_scores_with(self.objective)

    @property
    def is_multi_label(self) -> bool:
        """Whether a jet may be of several classes, or of none."""
        task = self.objective
        classification = task.classify if isinstance(task, TasksOptions) else task
        return isinstance(classification, ClassificationOptions) and classification.multi_label

    @property
    def gives_predictions(self) -> bool:
        """Whether the trained network says anything of jets: their classes, or else."""
        return self.is_classifier or isinstance(self.objective, TasksOptions)

    def __reduce__(self) -> tuple[Callable[..., "RunConfig"], tuple[dict[str, Any]]]:
        """Travel to another process, which makes the class of what is read anew."""
        return _restored, (self.__getstate__(),)


def run_config_class() -> type[RunConfig]:
    """Return ``RunConfig`` with the options of every network and objective there is.

    It is what configurations are read into, and what has the JSON schema.
    """
    models = (entry.network.options_class for _, entry in sorted(MODELS.items()))
    objectives = (objective.options_class for _, objective in sorted(OBJECTIVES.items()))
    return _run_config_class(tuple(models), tuple(objectives))


@lru_cache(maxsize=8)
def _run_config_class(
    models: tuple[type[ModelOptions], ...], objectives: tuple[type[ObjectiveOptions], ...]
) -> type[RunConfig]:
    fields: dict[str, Any] = {
        "model": (Union[models], Field(discriminator="name")),  # noqa: UP007 (of a tuple)
        "objective": (
            Union[objectives],  # noqa: UP007
            Field(default=ClassifyOptions(), discriminator="name"),
        ),
    }
    doc = "Everything that decides what a run does."
    return create_model(RunConfig.__name__, __base__=RunConfig, __doc__=doc, **fields)


def _restored(state: dict[str, Any]) -> RunConfig:
    kind = run_config_class()
    config = kind.__new__(kind)
    config.__setstate__(state)
    return config


# What a section without a name is about.
_DEFAULT_NAMES = {"objective": "classify", "optimizer": "ranger", "schedule": "flat+decay"}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration in a YAML file, after the overrides.

    Parameters
    ----------
    path
        The YAML file.
    overrides
        ``section.key=value`` each; the value is YAML, or plain text where it is no YAML.

    Raises
    ------
    InputError
        If the file is missing or no YAML, an override has no ``=``, a key is unknown (the nearest
        known one is named), or a value is of the wrong type or out of range.
    """
    return build_config(drop_other_classes(read_config_content(path, overrides), overrides))


def read_config_content(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the nested mappings of a configuration, in the present form, after the overrides.

    What parttag has written into the directory of a run is known by what lies beside it.

    Raises
    ------
    InputError
        As ``read_content``, or if a newer parttag has written the file.
    """
    content = read_content(path)
    of_run = Path(path).name == CONFIG and Path(path).with_name(PROVENANCE).is_file()
    content = upgraded_configuration(content, path, of_run=of_run)
    apply_overrides(overrides, content)
    return content


def build_config(content: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that nested mappings describe.

    Raises
    ------
    InputError
        If a key is unknown (the nearest known one is named), or a value is of the wrong type or out
        of range.
    """
    content = upgraded_configuration(content, "the configuration")
    named = {
        section: {"name": default, **content[section]}
        for section, default in _DEFAULT_NAMES.items()
        if isinstance(content.get(section), dict)
    }
    return read_options(run_config_class(), with_evaluation({**content, **named}))


def merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings with some values replaced.

    A section of another ``name`` replaces the whole section: its options are others.
    """
    merged = dict(content)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            name = old.get("name", _DEFAULT_NAMES.get(key))
            is_same = value.get("name", name) == name
            merged[key] = merge(old, value) if is_same else value
        else:
            merged[key] = value
    return merged


def dump_config(config: RunConfig) -> str:
    """Return the configuration as YAML, all defaults written out; it loads again to the same."""
    values = {VERSION_KEY: CONFIGURATION.version, **config.model_dump(mode="json")}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)


HOW_FAST = ("training.compile", "training.graph")
"""Keys that say how fast a training is and not what it does; runs of before have other defaults."""


def first_difference(
    one: RunConfig, other: RunConfig, *, except_for: Sequence[str] = ()
) -> str | None:
    """Return the path of the first key in which two configurations differ, ``None`` if in none.

    Keys in ``except_for`` may differ.
    """
    ours, theirs = (dict(_leaves(c.model_dump(mode="json"))) for c in (one, other))
    for key in [*ours, *theirs]:
        if key in except_for:
            continue
        if key not in ours or key not in theirs or ours[key] != theirs[key]:
            return key
    return None


# The order of classes is that of the logits; of patterns, the first that fits counts.
_ORDERED = (
    "data.classes",
    "init_from.lr_multipliers",
    "objective.tasks.origin.classes",
    "optimizer.lr_multipliers",
)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    if path in _ORDERED:
        yield path, list(value)
    for key, below in value.items():
        yield from _leaves(below, f"{path}.{key}" if path else key)
