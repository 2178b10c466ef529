"""Which operations of each network would depend on chance on CUDA, and which torch would refuse.

    python scripts/chance_operations.py

A step of each network on the tests' pretended device, in plain torch (Triton's kernels add in a
fixed order). For the first, ``training.deterministic: true`` takes others; of the second there must
be none, which the tests see to.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from helpers.networks import NETWORKS, small_network
from parttag.testing import toy_batch
from pretended_device.chance import REPLACED
from pretended_device.device import pretended_device


def main() -> None:
    """Print a line for each network."""
    batch = toy_batch(lengths=[3, 1, 7, 5])
    print("| network | by chance unless deterministic | refused |\n|---|---|---|")
    for name in NETWORKS:
        with pretended_device() as ledger:
            torch.manual_seed(0)
            network = small_network(name).to("cuda").train()
            try:
                network(batch.to("cuda")).sum().backward()
            except NotImplementedError:  # which is only trained without labels
                continue
        called = {".".join(operation.split(".")[:2]) for operation in ledger.operations}
        found = sorted(n.removeprefix("aten.").rstrip("_") for n in called & REPLACED)
        refused = sorted(call.split(" @ ")[0] for call in ledger.refused)
        cells = (", ".join(dict.fromkeys(names)) or "none" for names in (found, refused))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
