"""Foreign formats, one adapter each."""
