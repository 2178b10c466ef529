"""Weights of another package to a run."""

import json
from collections.abc import Sequence
from pathlib import Path

from parttag.errors import InputError, option
from parttag.models.weaver import KNOWN_CLASSES, ModelName, WeaverNetwork, read_network
from parttag.options import local_name
from parttag.runs.config import RunConfig, build_config, dump_config
from parttag.runs.plugin_parts import plugin_parts
from parttag.runs.provenance import describe_start
from parttag.system.atomic_files import whole_directory
from parttag.system.files import sha256
from parttag.training import checkpoint
from parttag.training.distributed import Ranks


def import_run(
    weights: str | Path,
    features: str | Sequence[str],
    directory: str | Path,
    *,
    model: ModelName = "particle_transformer",
    classes: Sequence[str] = (),
) -> Path:
    """Make a run of a network that weaver-core trained.

    Parameters
    ----------
    weights
        The state dict, of any version of weaver-core since 0.4.
    features
        The features that the network was trained with.
    directory
        Of the run; it appears complete or not at all.
    model
        The network that the weights belong to.
    classes
        Names of the classes in the order of the logits, the label of class ``x`` being ``label_x``;
        not needed for the classes of JetClass and of top tagging.

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
    labels = {name: (f"label_{name}",) for name in classes} or KNOWN_CLASSES.get(read.num_classes)
    if labels is None or len(labels) != read.num_classes:
        raise InputError(
            f"{weights}: the network has {read.num_classes} classes; give their names in the order "
            f"of its logits, {option('classes', 'NAME,NAME,...')}"
        )
    config = build_config(
        {"data": {"classes": labels}, "features": features, "model": read.options.model_dump()}
    )
    _write_import(directory, config, read, weights)
    return directory


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
    }
    provenance = {"imported": origin, "data": {}, "starts": [describe_start(Ranks(), config)]}
    content = {"weights": read.network.state_dict(), **description}
    with whole_directory(directory) as run:
        checkpoint.write_checkpoint(run / "checkpoints" / checkpoint.BEST, content)
        (run / "provenance.json").write_text(json.dumps(provenance, indent=2), encoding="utf-8")
        (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
