"""Contents of files of jets; no network is needed for them."""
