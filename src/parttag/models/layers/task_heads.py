"""Heads of a network that answers several questions: of the jet, of its particles, of its pairs."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.jets.targets import TargetOptions
from parttag.ops.layout import JetLayout

_VERTEX_WIDTH = 32


class TargetHead(nn.Module):
    """The representation of a jet to what is said of one target, standardized.

    Of quantiles the middle one is free, and the distance to the next one positive: they never
    cross.
    """

    def __init__(self, width: int, options: TargetOptions) -> None:
        super().__init__()
        self.middle = options.middle if options.loss == "quantiles" else None
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, options.num_outputs)
        )

    def forward(self, jets: Float[Tensor, "jets width"]) -> Float[Tensor, "jets outputs"]:
        """Return the target; its quantiles, rising; or its mean and the logarithm of its width."""
        outputs: Tensor = self.layers(jets)
        if self.middle is None:
            return outputs
        middle = outputs[:, self.middle : self.middle + 1]
        steps = F.softplus(outputs)
        above = middle + steps[:, self.middle + 1 :].cumsum(dim=1)
        below = middle - steps[:, : self.middle].flip(1).cumsum(dim=1).flip(1)
        return torch.cat([below, middle, above], dim=1)


class ParticleHead(nn.Module):
    """What a particle and its jet look like to scores of the particle's classes."""

    def __init__(self, particle_width: int, jet_width: int, num_classes: int) -> None:
        super().__init__()
        self.of_particle = nn.Linear(particle_width, particle_width)
        self.of_jet = nn.Linear(jet_width, particle_width, bias=False)
        self.output = nn.Linear(particle_width, num_classes)

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        jets: Float[Tensor, "jets jet_width"],
        jet_of_particle: Int64[Tensor, " particles"],
    ) -> Float[Tensor, "particles classes"]:
        """Return the scores of each particle."""
        hidden = self.of_particle(particles) + self.of_jet(jets).index_select(0, jet_of_particle)
        scores: Tensor = self.output(F.gelu(hidden))
        return scores


class VertexHead(nn.Module):
    """Whether two particles share a vertex: a number a pair, the same for (i, j) and (j, i)."""

    def __init__(self, particle_width: int, jet_width: int) -> None:
        super().__init__()
        self.particles = ParticleHead(particle_width, jet_width, _VERTEX_WIDTH)
        self.hidden = nn.Linear(2 * _VERTEX_WIDTH, _VERTEX_WIDTH)
        self.output = nn.Linear(_VERTEX_WIDTH, 1)

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        jets: Float[Tensor, "jets jet_width"],
        layout: JetLayout,
    ) -> Float[Tensor, " pairs"]:
        """Return the logit of each packed pair i ≥ j; that of a particle with itself says nothing.

        Parameters
        ----------
        layout
            Where particles and pairs lie.
        """
        own = self.particles(particles, jets, layout.jet_of_particle)
        first, second = own.index_select(0, layout.first), own.index_select(0, layout.second)
        both = torch.cat([first + second, (first - second).square()], dim=1)
        logits: Tensor = self.output(F.gelu(self.hidden(both)))
        return logits[:, 0]


class TaskHead(nn.Module):
    """All that a network says; called, it gives the logits of the classes, as other heads do.

    Parameters
    ----------
    width
        Of the representation of a jet, features of the jet beside it included.
    classify
        The network's own head; ``None`` if it is not to tell the classes apart.
    targets
        By name.
    particle_width
        Of the representation of a particle.
    num_origins
        Classes of the particles; 0 if they are not to be told apart.
    has_vertex
        Whether pairs of particles are looked at.
    num_uncertainties
        Tasks whose weight is learned.

    Attributes
    ----------
    target_options
        What each target is, with the centre and scale that this network was trained with.
    """

    def __init__(
        self,
        width: int,
        *,
        classify: nn.Module | None = None,
        targets: Mapping[str, TargetOptions] | None = None,
        particle_width: int = 0,
        num_origins: int = 0,
        has_vertex: bool = False,
        num_uncertainties: int = 0,
    ) -> None:
        super().__init__()
        self.encoded_width = width
        self.classify = classify
        named = dict(targets or {})
        self.target_options = named
        # A prefix: modules have attributes of their own, such as ``type``.
        self.targets = nn.ModuleDict(
            {f"pred_{name}": TargetHead(width, own) for name, own in named.items()}
        )
        self.origin = ParticleHead(particle_width, width, num_origins) if num_origins else None
        self.vertex = VertexHead(particle_width, width) if has_vertex else None
        # Of no tasks there is none: a parameter without a gradient is none of an optimizer's.
        known = nn.Parameter(torch.zeros(num_uncertainties)) if num_uncertainties else None
        self.log_variances = known

    def forward(self, jets: Float[Tensor, "jets width"]) -> Float[Tensor, "jets classes"]:
        """Return the logits of the classes; none if they are not told apart."""
        if self.classify is None:
            return jets[:, :0]
        logits: Tensor = self.classify(jets)
        return logits

    def predictions(
        self, name: str, outputs: Float[Tensor, "jets outputs"], batch: JetBatch
    ) -> Float[Tensor, "jets predictions"]:
        """Return what is said of a target in its unit, in the order of its ``suffixes``."""
        options = self.target_options[name]
        found = options.in_units(outputs, options.reference(batch))
        return torch.stack(list(found.values()), dim=1)

    def target(self, name: str, jets: Float[Tensor, "jets width"]) -> Float[Tensor, "jets outputs"]:
        """Return what is said of a target."""
        outputs: Tensor = self.targets[f"pred_{name}"](jets)
        return outputs
