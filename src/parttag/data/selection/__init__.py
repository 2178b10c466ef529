"""Which jets are taken: good ones, of the classes, within the cuts, with which weights."""
