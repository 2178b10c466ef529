"""The JetStore: jets on disk, in shards that are read in any order."""
