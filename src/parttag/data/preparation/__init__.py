"""Files to a shuffled JetStore."""
