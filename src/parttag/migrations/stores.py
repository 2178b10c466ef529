"""The forms of a JetStore's manifest, and of the shards that it describes."""

from parttag.migrations.formats import Format

# Schema 2 had no columns besides those of ``extra``.
# Schema 1 had no checksums of blocks, and no places of the datasets in a shard.
STORE = Format("store", steps=(dict,), oldest=2, if_older="prepare the store again")
