"""Where jets come from: simulation, public records and toys."""
