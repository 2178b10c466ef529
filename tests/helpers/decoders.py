"""Small decoders for tests: a tokenizer's checkpoint, and runs of next-particle prediction."""

from pathlib import Path

import torch

from helpers.networks import SMALL
from helpers.runs import toy_config
from parttag.models import build_model
from parttag.models.particle_tokenizer import ParticleTokenizerOptions
from parttag.runs.config import RunConfig
from parttag.training.checkpoint import describe_network, write_checkpoint

DECODER = {"name": "omnijet", **SMALL["omnijet"]}
TOKENIZER = SMALL["omnijet"]["tokenizer"]


def write_tokenizer(path: Path, **changes: object) -> Path:
    """Write an untrained tokenizer as a run of ``tokenize`` leaves it, and return the path."""
    torch.manual_seed(4)
    options = ParticleTokenizerOptions(**{**TOKENIZER, **changes})
    network = build_model(options, "kin", 1)
    described = describe_network(network, {"model": options.model_dump()}, ())
    backbone = {k: v for k, v in network.state_dict().items() if k.startswith("backbone.")}
    write_checkpoint(path, {"weights": backbone, **described})
    return path


def decoder_config(folder: Path, *overrides: str, model: dict | None = None) -> RunConfig:
    """Return the configuration of a run of ``next_particle`` on unlabelled toy jets."""
    tokenizer = write_tokenizer(folder / "tokenizer.pt")
    return toy_config(
        folder,
        "objective.name=next_particle",
        f"tokenizer_from={tokenizer}",
        "data.classes={}",
        "training.best_by=loss",
        *overrides,
        model=model or DECODER,
    )
