"""Jets to files in the layouts of the public sets."""
