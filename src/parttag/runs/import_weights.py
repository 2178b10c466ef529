"""Weights of another package to a run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parttag.errors import InputError, option
from parttag.jets.column_features import ColumnFeature
from parttag.models.tagger import ModelOptions
from parttag.models.weaver import KNOWN_CLASSES, Labels, ModelName, WeaverNetwork, read_network
from parttag.options import local_name
from parttag.runs.config import RunConfig, build_config, dump_config
from parttag.runs.plugin_parts import plugin_parts
from parttag.runs.provenance import describe_start
from parttag.system.atomic_files import whole_directory
from parttag.system.files import sha256
from parttag.training import checkpoint
from parttag.training.distributed import Ranks


@dataclass(frozen=True)
class Imported:
    """A run that was made of weights."""

    directory: Path
    recognized: str
    """What the weights are, in words."""
    options: dict[str, object]
    """Options of the network that are not parttag's defaults."""


def import_run(
    weights: str | Path,
    features: str | Sequence[str | ColumnFeature] | None,
    directory: str | Path,
    *,
    model: ModelName = "particle_transformer",
    classes: Sequence[str] = (),
) -> Path:
    """Make a run as ``import_weights`` does, and return its directory."""
    return import_weights(weights, features, directory, model=model, classes=classes).directory


def import_weights(
    weights: str | Path,
    features: str | Sequence[str | ColumnFeature] | None,
    directory: str | Path,
    *,
    model: ModelName = "particle_transformer",
    classes: Sequence[str] = (),
) -> Imported:
    """Make a run of a network that weaver-core, or its authors' own code, trained.

    Parameters
    ----------
    weights
        The state dict: of weaver-core of any version since 0.4, or of the authors' code of
        LorentzNet or of the Lorentz Group Network.
    features
        The features that the network was trained with; None where weights tell, or the network
        makes its own inputs.
    directory
        Of the run; it appears complete or not at all.
    model
        The network that the weights belong to.
    classes
        Names of the classes in the order of the logits, the label of class ``x`` being ``label_x``;
        not needed for the classes of JetClass, of top tagging, and of quarks and gluons where the
        weights tell.

    Returns
    -------
    Imported
        The run's directory, and what was recognized.

    Raises
    ------
    InputError
        If the directory exists or cannot be written, the weights cannot be read or are not those
        of this network with these features, or the number of classes is another.
    """
    weights, directory = Path(local_name(weights)), Path(local_name(directory))
    if directory.exists():
        raise InputError(f"{directory} exists already; give another {option('out', '')}")
    read = read_network(weights, features, model)
    given: Labels = {name: (f"label_{name}",) for name in classes}
    labels = given or read.classes or KNOWN_CLASSES.get(read.num_classes)
    if labels is None or len(labels) != read.num_classes:
        raise InputError(
            f"{weights}: the network has {read.num_classes} classes; give their names in the order "
            f"of its logits, {option('classes', 'NAME,NAME,...')}"
        )
    content = {"data": {"classes": labels}, "model": read.options.model_dump()}
    config = build_config(content | ({} if read.features is None else {"features": read.features}))
    _write_import(directory, config, read, weights)
    return Imported(directory, read.recognized, _changed(read.options))


def _changed(options: ModelOptions) -> dict[str, object]:
    """Return the options that are not the defaults."""
    fields = type(options).model_fields
    return {name: value for name, value in options if value != fields[name].get_default()}


def _write_import(directory: Path, config: RunConfig, read: WeaverNetwork, weights: Path) -> None:
    """Make the directory under another name and then rename it, so that it is never half there."""
    description = checkpoint.describe_network(
        read.network,
        config.model_dump(mode="json"),
        tuple(config.data.classes),
        plugin_parts(config),
    )
    origin = {
        "path": str(weights),
        "bytes": weights.stat().st_size,
        "sha256": sha256(weights),
        "written_by": read.written_by,
        "recognized": read.recognized,
    }
    provenance = {"imported": origin, "data": {}, "starts": [describe_start(Ranks(), config)]}
    content = {"weights": read.network.state_dict(), **description}
    with whole_directory(directory) as run:
        checkpoint.write_checkpoint(run / "checkpoints" / checkpoint.BEST, content)
        (run / "provenance.json").write_text(json.dumps(provenance, indent=2), encoding="utf-8")
        (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
