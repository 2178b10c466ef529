"""Every way to read a store, each store in a process of its own with limits on memory and time.

    python -m helpers.reading GOOD_STORE WORK_FOLDER < FOLDERS

A line of standard input is the folder of a store; the answer is a line of JSON, by the name of the
way: what was said, or what happened instead. ``GOOD_STORE`` is what a small tagger is trained on.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import yaml

import parttag.cli
import parttag.config
import parttag.evaluation.inspect
import parttag.runs
import parttag.training  # noqa: F401 (all that is imported here need not be in each process)
from parttag.data import JetLoader, JetStore, open_dataset
from parttag.errors import InputError

MEMORY_BYTES = 2 << 30
"""A process may take so much more than it has when it starts."""
SECONDS = 20
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
        "train", s.parent / CONFIG, f"data.train={s}", f"data.val={s}", "--out", _out(s, "t")
    ),
    "predict": lambda s: _command("predict", _run(s), s, "--out", _out(s, "scores.h5")),
    "evaluate": lambda s: _command("evaluate", _run(s), "--data", s, "--out", _out(s, "e")),
}


def answers(
    ways: Mapping[str, Callable[[Path], int]], store: Path, seconds: int = SECONDS
) -> dict[str, str]:
    """Return what happened to each way, one after the other in a process with limits."""
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        os.close(receiver)
        base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY_BYTES, base + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(seconds)
        for name, way in ways.items():
            os.write(sender, json.dumps([name, _said(way, store)]).encode() + b"\n")
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as lines:
        found = dict(map(json.loads, lines))
    _, status = os.waitpid(child, 0)
    end = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
    return {name: found.get(name, end) for name in ways}


def _said(way: Callable[[Path], int], store: Path) -> str:
    try:
        return f"read: the longest jet has {way(store)} particles"
    except InputError as error:
        return f"refused: {error}"
    except BaseException as error:  # noqa: BLE001 (whatever it is belongs into the answer)
        return f"{type(error).__name__}: {str(error)[:1000]}"


def _train_on(good: Path, work: Path) -> None:
    content = {
        "data": {"train": str(good), "val": str(good), "classes": CLASSES},
        "model": {"name": "pfn", "particle_dims": [8], "jet_dims": [8]},
        "training": {"batch_size": 256, "steps": 1, "steps_per_epoch": 1, "device": "cpu"},
    }
    (work / CONFIG).write_text(yaml.safe_dump(content))
    train = {"train": lambda _: _command("train", work / CONFIG, "--out", work / RUN)}
    said = answers(train, good, 60)
    assert said["train"].startswith("read"), said


def _main() -> None:
    torch.set_num_threads(1)
    _train_on(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in sys.stdin:
        store = Path(line.strip())
        print(json.dumps(answers(WAYS, store)), flush=True)


if __name__ == "__main__":
    _main()
