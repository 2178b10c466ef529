"""Time training steps of JEDI-net: in tiles of edges that exist, and in the direct form.

    OMP_NUM_THREADS=1 python scripts/bench_jedi_net.py --data test.h5

The direct form is the published one: jets padded to 150 particles, all 22,350 edges at once, the
features of receiver and sender side by side, every layer kept for the backward pass. Beside it
stand the same network in tiles, and the network that computes only the particles that exist. Times
are CPU seconds, which other programs on the machine disturb least; a step is forward, backward and
Adam.
"""

import argparse
import json
import os
import time
from itertools import islice
from pathlib import Path

import torch

from parttag.data.loading.dataset import open_dataset
from parttag.data.loading.loader import JetLoader
from parttag.jets.batch import JetBatch
from parttag.models import build_model
from parttag.models.jedi_net import JEDINet, JEDINetOptions

REFERENCE_JETS = Path(os.environ.get("PARTTAG_SHARED_DATA", "data")) / "toptagging" / "test.h5"
CLASSES = {"top": ("label_top",), "QCD": ("label_QCD",)}


def make_network(form: str) -> JEDINet:
    """Return JEDI-net in one of the three forms, always with the same weights."""
    torch.manual_seed(0)
    network = build_model(JEDINetOptions(reference_padding=form != "masked"), "kin", 2)
    assert isinstance(network, JEDINet)
    if form == "direct":
        edges = network.backbone.edges
        edges.forward = edges.reference  # type: ignore[method-assign]
    return network.train()


def seconds_per_jet(form: str, batches: list[JetBatch]) -> float:
    """Return the CPU time of one training step for each batch, divided by the number of jets."""
    network = make_network(form)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    start = 0.0
    for batch in [batches[0], *batches]:  # the first one warms up
        torch.nn.functional.cross_entropy(network(batch), batch.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        start = start or time.process_time()
    return (time.process_time() - start) / sum(len(batch) for batch in batches)


def main() -> None:
    """Print jets a CPU second of each form, and ratios, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(REFERENCE_JETS), help="jets with both labels")
    parser.add_argument("--jets", type=int, default=64, help="the same ones for each form")
    parser.add_argument("--batch-size", type=int, default=64, help="of the two forms in tiles")
    parser.add_argument("--direct-batch-size", type=int, default=4, help="it needs 0.2 GB a jet")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()

    data = open_dataset([options.data], CLASSES)
    seconds = {}
    for form in ("direct", "tiles", "masked"):
        size = options.direct_batch_size if form == "direct" else options.batch_size
        batches = JetLoader(data, size, shuffle=True, max_particles=150).epoch(0)
        seconds[form] = seconds_per_jet(form, list(islice(batches, options.jets // size)))
    result = {
        "threads": torch.get_num_threads(),
        "jets_per_cpu_second": {form: 1 / value for form, value in seconds.items()},
        "ratios": {form: seconds["direct"] / value for form, value in seconds.items()},
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
