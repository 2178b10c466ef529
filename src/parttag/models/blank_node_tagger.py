"""What L-GATr and L-GATr-slim have in common: logits of a blank node that is put into each jet."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.models.tagger import ModelOptions, Tagger


class EquivariantOptions(ModelOptions):
    """What L-GATr and L-GATr-slim have in common."""

    scalars: Literal["features", "none"] = "features"
    """Scalars of the particles: those of ``features``, or none."""
    num_layers: PositiveInt = 12
    """Blocks."""
    num_heads: PositiveInt = 8
    """Heads of attention."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """After attention and in the networks of nodes."""
    momentum_scale: PositiveFloat = 20.0
    """GeV that momenta of particles are divided by; reference vectors are not."""
    max_particles: PositiveInt | None = None
    """Particles of highest pT that are used; null for all."""


class BlankNodeTagger(Tagger):
    """A network whose ``backbone`` turns a batch into the invariants of each jet's blank node."""

    backbone: nn.Module
    max_particles: int | None

    @classmethod
    def takes_features(cls, options: ModelOptions) -> bool:
        """Return whether the scalars are features."""
        assert isinstance(options, EquivariantOptions)
        return options.scalars == "features"

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return what breaks the Lorentz symmetry besides the reference vectors."""
        assert isinstance(options, EquivariantOptions)
        if options.scalars == "features":
            return ("its features are those of the laboratory, and it is not Lorentz invariant",)
        return ("invariant if jets and reference vectors are transformed together",)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the invariants of the blank node of each jet."""
        if self.max_particles is not None:
            batch = batch.leading(self.max_particles)
        encoded: Tensor = self.backbone(batch)
        return encoded
