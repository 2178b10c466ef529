"""Jets that train, val and test share, which would make a tagger look better than it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from parttag.data.loading.dataset import JetDataset
from parttag.data.selection.good_jets import describe_sources
from parttag.data.store.store import is_store
from parttag.errors import InputError
from parttag.inspection.duplicates import fingerprint

# More jets, and those of stores, are not read a second time to look for shared ones.
_MOST_JETS = 1_000_000
_STEP = 50_000

Described = Mapping[str, Sequence[Mapping[str, str | int]]]
"""Path, bytes and SHA-256 of the files of each part of the data."""


def refuse_shared_files(data: Described, test: Sequence[Path]) -> None:
    """Refuse a file that is in two of train, val and test, whatever its name.

    Parameters
    ----------
    data
        Of ``data.train`` and ``data.val``.
    test
        Files of ``data.test``; those of another size than all the others are not read.

    Raises
    ------
    InputError
        If there is one.
    """
    sizes = {source["bytes"] for sources in data.values() for source in sources}
    suspects = [path for path in test if is_store(path) or path.stat().st_size in sizes]
    parts = {**data, "test": [source.model_dump() for source in describe_sources(suspects)]}
    for (first, ours), (second, theirs) in combinations(parts.items(), 2):
        paths = {source["sha256"]: source["path"] for source in theirs}
        for source in ours:
            if source["sha256"] in paths:
                raise InputError(
                    f"{source['path']} of data.{first} and {paths[source['sha256']]} of "
                    f"data.{second} are one file: what is measured on jets of the training says "
                    "nothing of others; give files that share no jets"
                )


def shared_jets_warning(train: JetDataset, val: JetDataset) -> str | None:
    """Return what to say of jets that are in both, by their particles; ``None`` if there are none.

    Large samples and stores are not searched: ``parttag inspect`` does it.
    """
    if train.is_streamed or val.is_streamed or len(train) + len(val) > _MOST_JETS:
        return None
    ours, theirs = (np.concatenate(list(_fingerprints(jets))) for jets in (train, val))
    shared = int(np.isin(theirs, ours).sum())
    if not shared:
        return None
    return (
        f"data.val: {shared:,} of {len(theirs):,} jets have exactly the particles of a jet of "
        "data.train; parttag inspect on both says which files share them"
    )


def _fingerprints(data: JetDataset) -> Iterator[UInt64[np.ndarray, " jets"]]:
    for start in range(0, max(len(data), 1), _STEP):
        yield fingerprint(data.read([(start, min(start + _STEP, len(data)))]))
