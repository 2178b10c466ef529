"""Runs of small networks that were never trained: weights at random, statistics nowhere trivial."""

from pathlib import Path
from typing import Any

import torch

from helpers.kinds import kind_jets
from helpers.networks import SMALL, VARIANTS
from parttag.api.run import Run
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.jets.column_features import ColumnName
from parttag.jets.kinds import names_by_kind
from parttag.models import Tagger
from parttag.models.layers.task_heads import TaskHead
from parttag.runs.config import RunConfig, build_config, dump_config
from parttag.runs.run import build_network, load_run
from parttag.testing import toy_batch
from parttag.testing.laws import shake
from parttag.training.checkpoint import describe_network, write_checkpoint

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def small_config(name: str, **sections: Any) -> RunConfig:
    """Return a configuration of a small network of this kind."""
    kind, options = VARIANTS.get(name, (name, {}))
    model = {"name": kind, **SMALL[kind], **options, **sections.pop("model", {})}
    return build_config({"data": {"classes": CLASSES}, "model": model, **sections})


def write_run(config: RunConfig, directory: Path, seed: int = 3) -> Run:
    """Write a run of an untrained network, and return it as it is read back."""
    torch.manual_seed(seed)
    network, _ = build_network(config)
    shake(network)
    if config.is_classifier:
        _spread_logits(network)
    described = describe_network(
        network, config.model_dump(mode="json"), tuple(config.data.classes)
    )
    (directory / "checkpoints").mkdir(parents=True)
    write_checkpoint(
        directory / "checkpoints" / "best.pt", {"weights": network.state_dict(), **described}
    )
    (directory / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    return Run.of(load_run(directory))


def _spread_logits(network: Tagger) -> None:
    """Scale the last layer so that jets differ: an agreement of scores then says something."""
    kinds = set(names_by_kind(network.feature_names))
    if not kinds <= {"charged", "neutral", "vertices"}:
        return
    batch = make_batch(kind_jets()) if kinds else toy_batch(40, seed=5)
    columns = [name for name in network.feature_names if isinstance(name, ColumnName)]
    if columns or network.jet_feature_names:
        return
    head = network.head.classify if isinstance(network.head, TaskHead) else network.head
    with torch.no_grad():
        try:
            logits = network.eval()(batch)
        except InputError:  # the jets that are made here lack columns of the network
            return
        last = [m for m in head.modules() if isinstance(m, torch.nn.Linear)][-1]
        spread = logits.std(dim=0).mean().clamp(min=0.05)  # or rounding is scaled as well
        last.weight /= spread
        last.bias.copy_((last.bias - logits.mean(dim=0)) / spread)


def small_run(name: str, directory: Path, **sections: Any) -> Run:
    """Write and return an untrained run of a small network of this kind."""
    return write_run(small_config(name, **sections), directory)
