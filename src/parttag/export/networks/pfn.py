"""The Particle Flow Network on padded jets."""

from parttag.export.graph import Value, layers
from parttag.export.networks.particles import Particles
from parttag.models import Tagger


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the sum of Φ over the real particles."""
    rows = particles.rows.cast(particles.graph.dtype)
    return (layers(rows, network.backbone) * particles.real).sum(1)
