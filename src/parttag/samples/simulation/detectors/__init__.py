"""Fast detectors: cards of efficiencies and resolutions, tracking, calorimeters, energy flow."""
