"""What files of jets hold: no network is needed for it."""
