"""Readers, the store on disk, and the loader that turns jets into batches."""
