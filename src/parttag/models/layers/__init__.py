"""Modules that the networks are made of."""
