"""Jets made here: Pythia 8 events, a fast detector, FastJet, and files in JetClass's layout."""
