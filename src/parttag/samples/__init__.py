"""Sources of jets: simulation, public records and toys."""
