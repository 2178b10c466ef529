"""How much memory it takes to stream a store that is larger than the memory should be.

    parttag prepare FILES --out STORE
    python scripts/stream_store.py STORE --tile-to 20 --out BIG --json stream.json

Makes a store of at least so many GB from copies of STORE's shards, goes through an epoch of it in
batches, and reports the most anonymous memory that the process with its threads held: RssAnon of
/proc, which leaves out what the system keeps of files. Every jet must come once (here: as often as
its shard was copied): that is known from the number of ``index``, its sum and its sum of squares
modulo 2⁶⁴, as a list would take the memory that is measured.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np

from parttag.data import JetLoader, JetStore, open_dataset
from parttag.data.store.writer import write_manifest
from parttag.jets.features import particle_features

POLL_SECONDS = 0.05


def tile(store: Path, out: Path, num_bytes: float) -> None:
    """Write a store of at least so many bytes from copies of a store's shards."""
    manifest = JetStore(store).manifest
    size = sum(shard.bytes for shard in manifest.shards)
    repeats = int(-(-num_bytes // size))
    out.mkdir()
    shards = []
    for _ in range(repeats):
        for shard in manifest.shards:
            name = f"shard-{len(shards):05d}.h5"
            shutil.copyfile(store / shard.name, out / name)
            shards.append(shard.model_copy(update={"name": name}))
    changes = {
        "shards": tuple(shards),
        "num_jets": manifest.num_jets * repeats,
        "num_particles": manifest.num_particles * repeats,
    }
    write_manifest(out, manifest.model_copy(update=changes))


def anonymous_bytes() -> int:
    """Return the anonymous resident memory of this process."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


class Watch(threading.Thread):
    """Keeps the largest anonymous memory that it sees."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            self.most = max(self.most, anonymous_bytes())
            time.sleep(POLL_SECONDS)


def checksum(index: np.ndarray) -> np.ndarray:
    """Return sums that depend on how often each number occurs, not on their order."""
    values = index.astype(np.uint64)
    return np.array([len(values), values.sum(), (values * values).sum()], dtype=np.uint64)


def expected_checksum(store: JetStore) -> np.ndarray:
    """Return the sums over all jets of a store, read in order."""
    total = np.zeros(3, dtype=np.uint64)
    for start in range(0, len(store), 100_000):
        chunk = store.read([(start, min(start + 100_000, len(store)))], particles=False)
        total += checksum(chunk.index)
    return total


def main() -> None:
    """Make the store if there is none, stream it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--tile-to", type=float, help="GB; without it the store is streamed itself")
    parser.add_argument("--out", type=Path, help="where to make the large store; deleted after")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--features", choices=("kin", "full"), help="compute them from each batch")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()

    path = options.store
    if options.tile_to:
        path = options.out
        tile(options.store, path, options.tile_to * 1e9)
    try:
        result = stream(path, options)
    finally:
        if options.tile_to:
            shutil.rmtree(path)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    sys.exit(0 if result["every_jet_once"] else 1)


def stream(path: Path, options: argparse.Namespace) -> dict[str, object]:
    """Return what an epoch took."""
    store = JetStore(path)
    before = anonymous_bytes()
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    data = open_dataset([path], {name: [name] for name in store.manifest.label_names})
    opened = time.perf_counter() - began
    loader = JetLoader(data, options.batch_size, shuffle=True, num_workers=options.workers)
    seen = np.zeros(3, dtype=np.uint64)
    began = time.perf_counter()
    for batch in loader.epoch(0):
        seen += checksum(batch.index.numpy())
        if options.features:
            particle_features(batch, options.features)
    seconds = time.perf_counter() - began
    return {
        "gigabytes": sum(shard.bytes for shard in store.manifest.shards) / 1e9,
        "num_jets": len(data),
        "every_jet_once": bool((seen == expected_checksum(store)).all()),
        "anonymous_megabytes": {"after_imports": before / 1e6, "most": watch.most / 1e6},
        "seconds": {"open": opened, "epoch": seconds},
        "jets_per_second": len(data) / seconds,
        "workers": options.workers,
        "cores": len(os.sched_getaffinity(0)),
    }


if __name__ == "__main__":
    main()
