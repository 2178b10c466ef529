"""weaver-core's loader, to be measured against: run by an interpreter that has it.

    PEER_PYTHON weaver_loader.py loader|fill|fill-default CONFIG.yaml BATCH_SIZE FILES...

Reads lines from standard input and answers each with one line of JSON. ``loader``: goes through all
jets once, in a ``DataLoader`` with one worker process set up as weaver's training sets it up, and
says how many jets came in how many seconds. ``fill``: reads and preprocesses one file after the
other as its worker does to fill its buffer, without handing out a jet. Both fetch whole files, one
at a time, which is the fastest of weaver's ways. ``fill-default`` fills the buffer as it does by
default, with a hundredth of every file at a time, and measures three times that.

Needs torch and weaver-core, nothing of parttag.
"""

import json
import logging
import sys
import time
from collections.abc import Callable

import torch
from weaver.utils.dataset import SimpleIterDataset, _load_next


def loader_pass(config: str, batch_size: int, files: list[str]) -> Callable[[], int]:
    """Return what goes through the loader once and counts the jets."""
    data = SimpleIterDataset(
        {"jets": files}, config, for_training=True, fetch_by_files=True, fetch_step=1, name="train"
    )
    loader = torch.utils.data.DataLoader(
        data,
        batch_size=batch_size,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        num_workers=1,
        persistent_workers=True,
    )

    def run() -> int:
        return sum(len(inputs["pf_mask"]) for inputs, _, _ in loader)

    return run


def fill_pass(config: str, files: list[str]) -> Callable[[], int]:
    """Return what fills the buffer with one file after the other and counts the jets."""
    data = SimpleIterDataset({"jets": files}, config, for_training=True, name="train")

    def run() -> int:
        options = {**data._sampler_options}
        return sum(len(_load_next(data.config, [f], [(0, 1)], options)[1]) for f in files)

    return run


def default_fill_pass(config: str, files: list[str]) -> Callable[[], int]:
    """Return what fills the buffer three times, from all files, and counts the jets."""
    data = SimpleIterDataset({"jets": files}, config, for_training=True, name="train")
    step = data._fetch_step

    def run() -> int:
        options = {**data._sampler_options}
        ranges = [(number * step, (number + 1) * step) for number in range(3)]
        fetched = (_load_next(data.config, files, [part] * len(files), options) for part in ranges)
        return sum(len(indices) for _, indices in fetched)

    return run


def main() -> None:
    """Answer every line of the input with a measurement."""
    logging.disable(logging.WARNING)
    kind, config, batch_size, *files = sys.argv[1:]
    if kind == "loader":
        run = loader_pass(config, int(batch_size), files)
    else:
        run = (fill_pass if kind == "fill" else default_fill_pass)(config, files)
    for _ in sys.stdin:
        began = time.perf_counter()
        num_jets = run()
        seconds = time.perf_counter() - began
        print(json.dumps({"jets": num_jets, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
