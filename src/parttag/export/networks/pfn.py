"""The Particle Flow Network on padded jets."""

from parttag.export.graph import Value, layers
from parttag.export.networks.particles import Particles
from parttag.models import Tagger


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the sum of Φ over the real particles."""
    dtype = particles.graph.dtype
    embedded = particles.embedded(network.backbone, lambda rows, phi: layers(rows.cast(dtype), phi))
    return (embedded * particles.real).sum(1)
