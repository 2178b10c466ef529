"""Files, processes and remote names: what is the same for every kind of content."""
