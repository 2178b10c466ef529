"""Footnotes of a table's rows, as far as configuration and jets say them.

These notes are made from what was run, whatever was overridden; a row's own footnote is for what
nothing here can know.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parttag.benchmarks.options import PUBLISHED, BenchmarkOptions, PretrainingOptions
from parttag.benchmarks.plan import Row
from parttag.models import MODELS

# What does not decide what a network learns, or is told elsewhere in the table.
_UNTOLD = {
    "data",
    "evaluation",
    "init_from.path",
    "tokenizer_from",
    "training.seed",
    "training.max_seconds",
    "training.device",
    "training.resident",
    "training.compile",
    "training.graph",
    "training.deterministic",
    "training.checkpoint_every",
    "training.tensorboard",
    "training.rank_timeout",
}


@dataclass(frozen=True)
class Change:
    """A value of a row's configuration that its recipe does not have."""

    value: str
    recipe: str | None
    """What the recipe has; ``None`` if it has no such key."""


def configuration_notes(row: Row, pretraining: Mapping[str, PretrainingOptions]) -> list[str]:
    """Return what is to be said of a row by its configuration alone.

    Parameters
    ----------
    pretraining
        What rows may start from, by the names that they give.
    """
    config, notes = row.config, list[str]()
    assert config is not None
    notes += MODELS[config.model.name].network.footnotes(config.model)
    if config.init_from is not None:
        needs = row.options.needs
        origin = config.init_from.path if needs is None else _origin(pretraining[needs])
        parts = "backbone and head" if config.init_from.load == "all" else "with a new head"
        frozen = "".join(f", {pattern} frozen" for pattern in config.init_from.freeze)
        notes.append(f"fine-tuned from {origin}, {parts}{frozen}")
    if config.tokenizer_from is not None:
        tokenizer = row.options.tokenizer
        origin = config.tokenizer_from if tokenizer is None else _origin(pretraining[tokenizer])
        notes.append(f"reads the tokens of {origin}")
    if config.training.precision != "fp32":
        notes.append(f"trained in {config.training.precision}")
    if config.data.num_train_jets is not None and row.labels is None:
        notes.append(f"trained on {config.data.num_train_jets:,} of the training jets")
    return notes


def _origin(entry: PretrainingOptions) -> str:
    if entry.weights is not None:
        return f"the weights {Path(entry.weights).name}"
    return f"a training of {entry.recipe}" + (" on the same jets" if entry.same_jets else "")


def why_unpublished(options: BenchmarkOptions, test_is_simulated: bool) -> str | None:
    """Return why the table's published numbers say nothing beside its jets; ``None`` if they do."""
    if options.published is None:
        return None
    left_out = "published numbers are left out: "
    line = next(iter(PUBLISHED[options.published].values()))
    classes = ("QCD", *line.rejection)
    if set(classes) != set(options.data.classes):
        return left_out + f"they are of the classes {', '.join(classes)}"
    if test_is_simulated:
        return left_out + "the test jets were made by parttag, theirs are others"
    if not options.evaluation.published:
        return left_out + "evaluation.published is false"
    return None


# ---------------------------------------------------------------------------------- the recipes


def changes(row: Row) -> dict[str, Change]:
    """Return what in a row's configuration is not that of its recipe, by key."""
    if row.config is None or row.recipe is None:
        return {}
    ours, recipes = (dict(_leaves(c.model_dump(mode="json"))) for c in (row.config, row.recipe))
    return {
        key: Change(_text(value), _text(recipes[key]) if key in recipes else None)
        for key, value in ours.items()
        if key not in recipes or value != recipes[key]
    }


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if path in _UNTOLD:
        return
    if not isinstance(value, dict) or not value:
        yield path.removesuffix(".name"), value
        return
    for key, below in value.items():
        yield from _leaves(below, f"{path}.{key}" if path else key)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')


def change_notes(rows: Sequence[Row]) -> tuple[str | None, list[str | None]]:
    """Return what all rows have in place of their recipes' values, and what each has besides."""
    found = [changes(row) for row in rows]
    known = [dict(_leaves(row.config.model_dump(mode="json"))) for row in rows if row.config]
    keys = dict.fromkeys(key for own in found for key in own)
    shared = {
        key: _text(known[0][key])
        for key in keys
        if len(rows) > 1
        and all(key in values and values[key] == known[0].get(key) for values in known)
    }
    common = ", ".join(f"{key} {value}" for key, value in shared.items())
    own_notes = []
    for own in found:
        told = [
            f"{key} {change.value}" + ("" if change.recipe is None else f" ({change.recipe})")
            for key, change in own.items()
            if key not in shared
        ]
        own_notes.append(f"unlike its recipe: {', '.join(told)}" if told else None)
    return f"All rows, whatever their recipes: {common}." if common else None, own_notes
