"""Optimizers, schedules, checkpoints and the training loop."""
