"""Every way to read a store, in a process with limits on memory and time.

    python -m helpers.reading GOOD_STORE WORK_FOLDER < FOLDERS

A line of standard input is the folder of a store; the answer is a line of JSON, by the name of the
way: what was said, or what happened instead. ``GOOD_STORE`` is what a small tagger is trained on.
"""

import contextlib
import io
import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

import parttag.cli
from parttag.data import JetLoader, JetStore, open_dataset
from parttag.errors import InputError

MEMORY_BYTES = 2 << 30
"""It may take so much more than it has after a training."""
SECONDS = 60
"""For all ways to read one store."""
CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
RUN, CONFIG = "run", "config.yaml"


def chunks(store: Path) -> int:
    """Read all jets in order."""
    return max(jets.lengths.max(initial=0) for jets in JetStore(store).read_chunks(100))


def take_many(store: Path) -> int:
    """Take all jets, which Arrow copies from the mapped shards."""
    opened = JetStore(store)
    return opened.take(np.random.default_rng(0).permutation(len(opened))).lengths.max()


def take_few(store: Path) -> int:
    """Take some jets of each shard, which NumPy copies particle by particle."""
    opened = JetStore(store)
    return opened.take(np.arange(0, len(opened), 20)).lengths.max()


def stream(store: Path) -> int:
    """Load an epoch of batches."""
    return max(b.max_length for b in JetLoader(open_dataset([store], CLASSES), 64, shuffle=True))


def keep(store: Path) -> int:
    """Load an epoch from a copy of all jets."""
    data = open_dataset([store], CLASSES)
    return max(b.max_length for b in JetLoader(data, 64, shuffle=True, resident="cpu"))


def _command(*arguments: object) -> int:
    sys.argv = ["parttag", *map(str, arguments)]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            parttag.cli.main()
        except SystemExit as stop:
            if stop.code == 2:
                raise InputError(said.getvalue().removeprefix("error: ").strip()) from None
            if stop.code:
                raise RuntimeError(f"exit code {stop.code}: {said.getvalue()}") from None
    return 0


def _out(store: Path, name: str) -> Path:
    return store.with_name(f"{store.name}-{name}")


def _run(store: Path) -> Path:
    return store.parent / RUN


WAYS: dict[str, Callable[[Path], int]] = {
    "chunks": chunks,
    "take_many": take_many,
    "take_few": take_few,
    "stream": stream,
    "keep": keep,
    "prepare": lambda s: _command("prepare", s, "--out", _out(s, "p"), "--processes", 1),
    "in order": lambda s: _command(
        "prepare", s, "--out", _out(s, "o"), "--no-shuffle", "--processes", 1
    ),
    "same store": lambda s: _command("prepare", s, "--out", s, "--processes", 1),
    "inspect": lambda s: _command("inspect", s),
    "train": lambda s: _command(
        "train", s.parent / CONFIG, f"data.train={s}", "--out", _out(s, "t")
    ),
    "predict": lambda s: _command("predict", _run(s), s, "--out", _out(s, "scores.h5")),
    "evaluate": lambda s: _command("evaluate", _run(s), "--data", s, "--out", _out(s, "e")),
}


def _said(way: Callable[[Path], int], store: Path) -> str:
    try:
        return f"read: the longest jet has {way(store)} particles"
    except InputError as error:
        return f"refused: {error}"
    except BaseException as error:  # noqa: BLE001 (whatever it is belongs into the answer)
        return f"{type(error).__name__}: {str(error)[:1000]}"


def _limit_memory() -> None:
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY_BYTES, base + MEMORY_BYTES))


def _train_on(good: Path, work: Path) -> None:
    content = {
        "data": {"train": str(good), "classes": CLASSES},
        "model": {"name": "pfn", "particle_dims": [8], "jet_dims": [8]},
        "training": {"batch_size": 256, "steps": 1, "steps_per_epoch": 1, "device": "cpu"},
    }
    (work / CONFIG).write_text(yaml.safe_dump(content))
    _command("train", work / CONFIG, "--out", work / RUN)


def _main() -> None:
    torch.set_num_threads(1)
    _train_on(Path(sys.argv[1]), Path(sys.argv[2]))
    _limit_memory()
    for line in sys.stdin:
        store = Path(line.strip())
        signal.alarm(SECONDS)  # which ends the process
        said = {name: _said(way, store) for name, way in WAYS.items()}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
