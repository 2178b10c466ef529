"""A decoder's next token, again and again, until every jet has stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.packing import offsets_of
from parttag.models.omnijet import START, OmniJet
from parttag.models.particle_tokenizer import token_p4

# Jets that grow together; part of what a seed means.
BATCH_JETS = 256
# Jets that have stopped are taken out once those that go on are no more than this share.
_SHARE_TO_SHRINK = 0.75


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes
    ----------
    temperature
        The logits are divided by it: below 1 likely tokens become likelier.
    top_k
        Only so many of the likeliest tokens are drawn from; ``None`` for all.
    seed
        Of the random numbers: the same gives the same jets on the same kind of device.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise InputError(
                f"{option('temperature', f'{self.temperature:g}')}: it must be a number "
                "greater than 0"
            )
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"{option('top_k', str(self.top_k))}: it must be at least 1")


def sample_jets(
    network: OmniJet, num_jets: int, sampling: Sampling, *, batch_jets: int = BATCH_JETS
) -> Iterator[JetArrays]:
    """Yield new jets, batch by batch.

    The axis that the tokens' angles are relative to (the hardest particle's, or the jet's: see the
    tokenizer's frame) lies at η = φ = 0. Particles are massless.

    Parameters
    ----------
    network
        In evaluation mode, with a head for the next token.
    batch_jets
        Jets that are made at a time; other jets come out for other numbers.
    """
    device = network.backbone.embedding.weight.device
    generator = torch.Generator(device).manual_seed(sampling.seed)
    tokenizer = network.backbone.tokenizer
    for batch in range(num_batches(num_jets, batch_jets)):
        number = min(batch_jets, num_jets - batch * batch_jets)
        with torch.inference_mode():
            codes, lengths = sample_codes(network, number, sampling, generator)
            features = tokenizer.decode(codes, lengths)
            p4 = token_p4(features, features.new_zeros(len(features), 2))
        yield bare_jets(p4, lengths)


def num_batches(num_jets: int, batch_jets: int = BATCH_JETS) -> int:
    """Return how many batches ``sample_jets`` yields."""
    return math.ceil(num_jets / batch_jets)


def bare_jets(
    p4: Float[Tensor, "particles 4"],
    lengths: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> JetArrays:
    """Return jets of which nothing but the particles is known, put in order of falling pT."""
    return pack_jets(
        p4.double().cpu().numpy(),
        offsets_of(lengths),
        extra=np.zeros((len(p4), 0)),
        extra_names=(),
        labels=np.zeros((len(lengths), 0), dtype=np.uint8),
        label_names=(),
        path=Path(),
        first_row=0,
        jet_weights=jet_weights,
    )


def sample_codes(
    network: OmniJet, num_jets: int, sampling: Sampling, generator: torch.Generator
) -> tuple[Int64[Tensor, " particles"], Int64[np.ndarray, " jets"]]:
    """Return the codes of the particles of new jets, packed, and how many each jet has.

    Every jet has at least one particle, and stops at the latest after ``max_particles``.
    """
    device = generator.device
    memory = network.backbone.remember(num_jets, network.max_particles)
    sentences = torch.full((num_jets, network.max_particles), network.stop, device=device)
    tokens = torch.full((num_jets,), START, device=device)
    # The jet that each row of tokens belongs to, and whether it has stopped.
    jets, has_stopped = torch.arange(num_jets, device=device), tokens != START
    for place in range(network.max_particles):
        logits: Tensor = network.head(network.backbone.extend(tokens, memory))
        logits[:, START] = -torch.inf
        if place == 0:
            logits[:, network.stop] = -torch.inf
        tokens = draw(logits, sampling, generator)
        has_stopped = has_stopped | (tokens == network.stop)
        sentences[jets, place] = torch.where(has_stopped, network.stop, tokens)
        going = (~has_stopped).nonzero()[:, 0]
        if len(going) == 0:
            break
        if len(going) <= _SHARE_TO_SHRINK * len(jets):
            jets, tokens, has_stopped = jets[going], tokens[going], has_stopped[going]
            for past in memory:
                past.keep(going)
    is_particle = sentences != network.stop
    return sentences[is_particle] - 1, is_particle.sum(dim=1).cpu().numpy()


def draw(
    logits: Float[Tensor, "jets tokens"], sampling: Sampling, generator: torch.Generator
) -> Int64[Tensor, " jets"]:
    """Return one token a jet, drawn by the probabilities that the logits give."""
    # The greatest is 0, so that no temperature, however low, makes it infinite.
    logits = (logits.float() - logits.amax(dim=1, keepdim=True)) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        least = logits.topk(sampling.top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
