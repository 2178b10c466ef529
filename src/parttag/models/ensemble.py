"""Several trained networks as one, whose probabilities are averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.kinds import KindLimits, MaxParticles
from parttag.models.tagger import Tagger


class Ensemble(Tagger):
    """A network whose score is the mean of its members', and its logit the logarithm of that.

    Members are called as they are: those that are calibrated give calibrated scores. Each sees as
    many particles as it was trained with.

    Attributes
    ----------
    members
        The networks; all have the same classes.
    """

    members: nn.ModuleList

    def __init__(self, members: Sequence[Tagger]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.backbone, self.head = nn.Identity(), nn.Identity()
        self.feature_names = tuple(
            dict.fromkeys(chain.from_iterable(member.feature_names for member in members))
        )
        self.max_particles = _most([member.max_particles for member in members])

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the representations of all members, one after the other."""
        return torch.cat([m.encode(_seen(m, batch)) for m in self._networks()], dim=1)

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logarithm of the mean of the members' probabilities."""
        networks = self._networks()
        logs = [torch.log_softmax(m(_seen(m, batch)).float(), dim=1) for m in networks]
        mean: Tensor = torch.logsumexp(torch.stack(logs), dim=0) - math.log(len(logs))
        return mean

    def _networks(self) -> list[Tagger]:
        return [member for member in self.members if isinstance(member, Tagger)]


def _most(limits: Sequence[MaxParticles]) -> MaxParticles:
    """Return the limit that leaves every member what it reads."""
    numbers = [limit for limit in limits if isinstance(limit, int)]
    if isinstance(limits[0], KindLimits):
        return limits[0]  # that of all members: others are refused where ensembles are made
    return max(numbers) if len(numbers) == len(limits) else None


def _seen(member: Tagger, batch: JetBatch) -> JetBatch:
    limit = member.max_particles
    return batch.leading(limit) if isinstance(limit, int) else batch
