"""A particle feature: how far a particle is from the plane across the beam."""

from torch import Tensor

from parttag.jets.features import FeatureContext, register_feature


@register_feature("abs_eta", centre=1.0)
def abs_eta(particles: FeatureContext) -> Tensor:
    """Return |η|."""
    return particles.eta.abs()
