"""Jet tagging with the Particle Transformer: from ROOT files to background rejection."""

__version__ = "0.1.0"
