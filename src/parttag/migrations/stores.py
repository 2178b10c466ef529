"""The forms of a JetStore's manifest, and of the shards that it describes."""

from parttag.migrations.formats import Format

# Schema 3 had one kind of particles.
# Schema 2 had no columns besides those of ``extra``.
# Schema 1 had no checksums of blocks, and no places of the datasets in a shard.
STORE = Format("store", steps=(dict, dict), oldest=2, if_older="prepare the store again")
