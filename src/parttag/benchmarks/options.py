"""The configuration of a table: one YAML file that names recipes, and what all of them share."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from parttag.metrics import EvaluationOptions, check_options
from parttag.metrics.published import JETCLASS, QUARK_GLUON, TOP_TAGGING, Published
from parttag.migrations.configurations import upgraded_configuration
from parttag.models.weaver import ModelName
from parttag.options import LocalName, Name, Options
from parttag.runs.config import DataOptions
from parttag.runs.evaluation_section import with_evaluation

PUBLISHED: Mapping[str, Mapping[str, Published]] = {
    "toptagging": {line.name: line for line in TOP_TAGGING},
    "jetclass": {line.name: line for line in JETCLASS},
    "quarkgluon": {line.name: line for line in QUARK_GLUON},
}
"""The published lines that a row can be compared with, by sample and name."""

Overrides = dict[str, Any]
"""Sections and keys of a run's configuration that replace those of its recipe."""


class ToyOptions(Options):
    """Jets that the benchmark makes itself, to try everything out: there is no physics in them."""

    toy: Annotated[int, Field(ge=20)]
    """Jets in each of train, val and test, half of them top, half QCD."""


class _StartOptions(Options):
    needs: str | None = None
    """The entry of ``pretraining`` whose network it starts from: its ``init_from.path``."""
    tokenizer: str | None = None
    """The entry of ``pretraining`` whose tokens it reads or predicts: its ``tokenizer_from``."""

    @property
    def entries(self) -> dict[str, str]:
        """What is named here, by the option that names it."""
        named = {"needs": self.needs, "tokenizer": self.tokenizer}
        return {option: entry for option, entry in named.items() if entry is not None}


class PretrainingOptions(_StartOptions):
    """A trained network that rows or others of its kind start from, or whose tokens they read.

    It is trained here by a recipe, on any objective, or read from weights.
    """

    recipe: LocalName | None = None
    """Configuration of its training, relative to this file."""
    overrides: Overrides = Field(default_factory=dict)
    """What replaces the recipe's values, ``data`` included; the benchmark's own do not apply."""
    same_jets: bool = False
    """Train it on the jets of the table, with its classes, instead of the recipe's."""
    per_seed: bool = False
    """Train it anew for each seed of the table; else once, and all rows and seeds share it."""
    weights: LocalName | None = None
    """A file of weaver-core's or authors' weights to import instead; relative to where the command
    is run."""
    model: ModelName = "particle_transformer"
    """The network that the weights belong to."""
    features: str | tuple[str, ...] | None = "kin"
    """The features that the weights were trained with; null for networks whose weights tell, or
    that make their own inputs."""
    classes: tuple[str, ...] = ()
    """Classes of the weights, in order; those of JetClass or top tagging need not be given."""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "PretrainingOptions":
        if (self.recipe is None) == (self.weights is None):
            raise ValueError("give either a recipe to train or a file of weights")
        if self.weights is not None and self.entries:
            raise ValueError("weights are imported as they are, and need nothing; give a recipe")
        return self


class RowOptions(_StartOptions):
    """One system of the table."""

    recipe: LocalName
    """Its configuration, relative to this file."""
    overrides: Overrides = Field(default_factory=dict)
    """What replaces the recipe's values and the benchmark's; the jets are those of the table."""
    published: str | None = None
    """The published line to stand beside it, by its name."""
    footnote: str | None = None
    """What a reader of the table has to know of it."""

    @field_validator("overrides")
    @classmethod
    def _keeps_the_jets(cls, overrides: Overrides) -> Overrides:
        if "data" in overrides:
            raise ValueError("all rows have the jets of the section data; take them out here")
        if "evaluation" in overrides:
            raise ValueError("all rows are measured alike, by the section evaluation of the table")
        return overrides


class BenchmarkOptions(Options):
    """A table: its jets, its rows, and how often each is trained."""

    data: DataOptions
    """The jets and classes of all rows, in place of those of their recipes."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """What is measured of all rows, in place of what their recipes say."""
    jets: ToyOptions | None = None
    """Make jets instead of reading those that ``data`` names."""
    overrides: Overrides = Field(default_factory=dict)
    """What replaces the values of every row's recipe."""
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    """Each row is trained with each of them."""
    labels: dict[PositiveInt, Overrides] = Field(default_factory=dict)
    """Numbers of training jets, in place of ``data.num_train_jets``: each row is trained with each
    of them, and with what it overrides (before the row's own overrides). Pre-trainings are not."""
    rows: dict[Name, RowOptions] = Field(min_length=1)
    """The rows by the names that the table shows."""
    pretraining: dict[Name, PretrainingOptions] = Field(default_factory=dict)
    """Networks that rows start from."""
    published: Literal["toptagging", "jetclass", "quarkgluon"] | None = None
    """The sample whose published numbers stand beside the rows'."""
    reference: str | None = None
    """The row that all others are compared with, jet by jet: what differs from it by more than two
    standard deviations is marked. By default ``ParticleNet``, if there is such a row."""
    cost_jets: PositiveInt = 64
    """Test jets on which multiply-adds are counted."""

    @field_validator("overrides")
    @classmethod
    def _keeps_the_jets(cls, overrides: Overrides) -> Overrides:
        if "data" in overrides:
            raise ValueError("give the jets in the section data of the benchmark")
        if "evaluation" in overrides:
            raise ValueError("give what is measured in the section evaluation of the benchmark")
        return overrides

    @field_validator("labels")
    @classmethod
    def _keep_the_jets(cls, labels: dict[int, Overrides]) -> dict[int, Overrides]:
        for overrides in labels.values():
            cls._keeps_the_jets(overrides)
        return labels

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is given twice; give each once")
        return seeds

    @field_validator("rows", "pretraining")
    @classmethod
    def _have_directories(cls, entries: dict[str, Any]) -> dict[str, Any]:
        names: dict[str, str] = {}
        for name in entries:
            other = names.setdefault(directory_name(name).lower(), name)
            if other != name:
                raise ValueError(f"{other} and {name} would have the same directory; rename one")
        return entries

    @model_validator(mode="before")
    @classmethod
    def _means_what_it_did(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        return with_evaluation(upgraded_configuration(content, "the table"))

    @model_validator(mode="after")
    def _evaluation_fits(self) -> "BenchmarkOptions":
        if self.data.classes:
            check_options(tuple(self.data.classes), self.evaluation)
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> "BenchmarkOptions":
        if self.reference is not None and self.reference not in self.rows:
            raise ValueError(
                f"reference: there is no row {self.reference!r}; give one of {', '.join(self.rows)}"
            )
        known = PUBLISHED[self.published] if self.published else {}
        for name, row in self.rows.items():
            if row.published is not None and row.published not in known:
                raise ValueError(
                    f"rows.{name}.published: there is no published line {row.published!r} for "
                    f"published: {self.published or 'null'}; it has {', '.join(known) or 'none'}"
                )
            self._refuse_unknown_entries(f"rows.{name}", row)
        for name, entry in self.pretraining.items():
            self._refuse_unknown_entries(f"pretraining.{name}", entry)
            self._refuse_circle(name)
            for option, other in entry.entries.items():
                if self.pretraining[other].per_seed and not entry.per_seed:
                    raise ValueError(
                        f"pretraining.{name}.{option}: {other} is trained anew for each seed, so "
                        f"give {name} per_seed: true too"
                    )
        if self.jets is not None and (self.data.train or self.data.val or self.data.test):
            raise ValueError("jets.toy makes the jets: leave data.train, data.val, data.test out")
        return self

    def _refuse_unknown_entries(self, place: str, options: _StartOptions) -> None:
        for option, entry in options.entries.items():
            if entry not in self.pretraining:
                raise ValueError(
                    f"{place}.{option}: there is no {entry!r} in the section pretraining, which "
                    f"has {', '.join(self.pretraining) or 'no entries'}"
                )

    def _refuse_circle(self, name: str) -> None:
        reached, waiting = set(), [name]
        while waiting:
            entry = self.pretraining.get(waiting.pop())
            for needed in entry.entries.values() if entry is not None else ():
                if needed == name:
                    raise ValueError(f"pretraining.{name} needs itself; take one need out")
                if needed not in reached:
                    reached.add(needed)
                    waiting.append(needed)


def directory_name(name: str) -> str:
    """Return the directory of a row: its name without what a shell or a file system dislikes."""
    return re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip("._") or "row"
