"""The choice of jets: good ones, of the classes, within the cuts, with their weights."""
