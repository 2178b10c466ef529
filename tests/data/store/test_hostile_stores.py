"""Stores that lie about themselves: each way to read one refuses it in a sentence, within limits.

Whoever makes such a store can make its checksums too, so that they are right here.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash

from helpers.files import write_jetclass_root
from helpers.reading import RUN
from parttag.data import prepare
from parttag.testing import toy_jets

NUM_JETS = 400
BLOCK = 1 << 20
LEFT = ("-p", "-o", ".h5")


class Store:
    """A store whose manifest is changed in memory and written at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.shards: list[dict[str, Any]] = self.content["shards"]

    def path(self, number: int) -> Path:
        return self.folder / self.shards[number]["name"]

    def offsets(self, number: int = 1) -> np.ndarray:
        start = self.shards[number]["starts"]["offsets"]
        return np.frombuffer(self.path(number).read_bytes(), "<i8", NUM_JETS + 1, start).copy()

    def write(self, name: str, values: np.ndarray, number: int = 1) -> None:
        """Overwrite the first rows of a dataset."""
        content = bytearray(self.path(number).read_bytes())
        start = self.shards[number]["starts"][name]
        content[start : start + values.nbytes] = values.tobytes()
        self.path(number).write_bytes(content)
        self.sign(number)

    def sign(self, number: int = 1) -> None:
        """Make the checksums and the size those of the file."""
        content = self.path(number).read_bytes()
        blocks = [content[i : i + BLOCK] for i in range(0, len(content), BLOCK)]
        self.shards[number]["blocks"] = "".join(map(xxhash.xxh3_64_hexdigest, blocks))
        self.shards[number]["bytes"] = len(content)

    def replace_dataset(self, name: str, values: np.ndarray, number: int = 1) -> None:
        """Write the shard anew with other values in a dataset, of another type or shape maybe."""
        path = self.path(number)
        with h5py.File(path) as file:
            arrays = {key: file[key][()] for key in file}
        with h5py.File(path, "w") as file:
            for key, own in (arrays | {name: values}).items():
                file[key] = own
            self.shards[number]["starts"] = {key: file[key].id.get_offset() for key in file}
        self.sign(number)

    def values(self, name: str, number: int = 1) -> np.ndarray:
        with h5py.File(self.path(number)) as file:
            return file[name][()]


Damage = Callable[[Store], None]
DAMAGES: dict[str, Damage] = {}


def damage(function: Damage) -> Damage:
    DAMAGES[function.__name__.replace("_", " ")] = function
    return function


def manifest(**changes: Any) -> Damage:
    return lambda store: store.content.update(changes)


def shard(number: int = 1, **changes: Any) -> Damage:
    return lambda store: store.shards[number].update(changes)


def start(name: str, value: object) -> Damage:
    return lambda store: store.shards[1]["starts"].update({name: value})


# ------------------------------------------------------------------------ where the particles lie


def offsets(change: Callable[[np.ndarray], object]) -> Damage:
    def apply(store: Store) -> None:
        values = store.offsets()
        change(values)
        store.write("offsets", values)

    return apply


def _rising_by_overflow(values: np.ndarray) -> None:
    big = 1 << 62  # each is larger than the one before, modulo 2^64
    values[10:13] = [2 * big - 1, -2 * big, -big]


DAMAGES |= {
    "an inner offset 20,000 particles beyond": offsets(
        lambda v: v.__setitem__(slice(30, 31), v[-1] + 20_000)
    ),
    "an inner offset of 2^40": offsets(lambda v: v.__setitem__(30, 1 << 40)),
    "an offset before the shard": offsets(lambda v: v.__setitem__(30, -20_000)),
    "a negative first offset": offsets(lambda v: v.__setitem__(0, -20_000)),
    "a first offset of 1": offsets(lambda v: v.__setitem__(0, 1)),
    "all offsets beyond": offsets(lambda v: v.__iadd__(20_000)),
    "last offset beyond": offsets(lambda v: v.__setitem__(-1, v[-1] + 20_000)),
    "last offset too small": offsets(lambda v: v.__setitem__(-1, v[-2])),
    "falling offsets": offsets(lambda v: v.__setitem__(slice(None), v[::-1].copy())),
    "two offsets exchanged": offsets(lambda v: v.__setitem__([20, 40], v[[40, 20]])),
    "offsets that rise by overflow": offsets(_rising_by_overflow),
    "offsets that are floating-point": lambda s: s.write("offsets", s.offsets().astype(np.float64)),
}


@damage
def offsets_beyond_without_checksums(store: Store) -> None:
    DAMAGES["an inner offset 20,000 particles beyond"](store)
    store.shards[1]["blocks"] = ""


@damage
def index_of_no_source(store: Store) -> None:
    store.write("index", np.array([7 << 40, -1], dtype="<i8"))


# --------------------------------------------------------------------------------- wrong counts


@damage
def three_jets_for_many(store: Store) -> None:
    store.content["num_jets"] = 3


@damage
def three_jets_of_each_shard(store: Store) -> None:
    for number, own in enumerate(store.shards):
        own["num_jets"], own["num_particles"] = 3, int(store.offsets(number)[3])
    store.content["num_jets"] = 9
    store.content["num_particles"] = sum(own["num_particles"] for own in store.shards)


def claim(name: str, value: int) -> Damage:
    """Let a shard and the manifest claim so many jets or particles, which agree."""

    def apply(store: Store) -> None:
        store.content[name] += value - store.shards[1][name]
        store.shards[1][name] = value

    return apply


@damage
def two_shards_exchanged_counts(store: Store) -> None:
    one, two = store.shards[:2]
    one["num_particles"], two["num_particles"] = two["num_particles"], one["num_particles"]


@damage
def a_shard_left_out(store: Store) -> None:
    del store.shards[1]


@damage
def a_shard_twice(store: Store) -> None:
    store.shards[1] = store.shards[0]
    for name in ("num_jets", "num_particles"):
        store.content[name] = sum(own[name] for own in store.shards)


DAMAGES |= {
    "10^12 jets": manifest(num_jets=10**12),
    "10^10 particles": manifest(num_particles=10**10),
    "no jets": manifest(num_jets=0, num_particles=0, shards=[]),
    "10^10 jets of a shard": claim("num_jets", 10**10),
    "2^70 jets of a shard": claim("num_jets", 2**70),
    "10^10 particles of a shard": claim("num_particles", 10**10),
    "one jet of a shard less": claim("num_jets", NUM_JETS - 1),
    "no jet of a shard": claim("num_jets", 0),
    "jets in a text": manifest(num_jets=str(3 * NUM_JETS)),
    "jets with a fraction": manifest(num_jets=3 * NUM_JETS + 0.5),
    "dropped fewer than none": manifest(dropped={"no particles": -5}),
    "no source": manifest(sources=[]),
    "a seed in a list": manifest(shuffle_seed=[1]),
}

# --------------------------------------------------------------------- keys, names, places, types


@damage
def a_column_of_labels_too_many(store: Store) -> None:
    store.content["label_names"].append("label_W")


@damage
def a_column_too_few(store: Store) -> None:
    store.content["extra_names"].pop()


@damage
def momenta_of_eight_bytes(store: Store) -> None:
    store.replace_dataset("p4", store.values("p4").astype(np.float64))


@damage
def momenta_of_three_columns(store: Store) -> None:
    store.replace_dataset("p4", store.values("p4")[:, :3])


@damage
def momenta_of_two_bytes(store: Store) -> None:
    store.replace_dataset("p4", store.values("p4").astype(np.float16))


@damage
def a_dataset_without_a_place(store: Store) -> None:
    del store.shards[1]["starts"]["p4"]


@damage
def two_datasets_in_one_place(store: Store) -> None:
    starts = store.shards[1]["starts"]
    starts["p4"] = starts["extra"]


@damage
def no_shards_key(store: Store) -> None:
    del store.content["shards"]


@damage
def no_columns_of_labels(store: Store) -> None:
    del store.content["label_names"]


@damage
def ten_thousand_wrong_values(store: Store) -> None:
    store.content["dropped"] = {str(i): "" for i in range(10_000)}


@damage
def two_million_wrong_values(store: Store) -> None:
    store.content["sources"] = [0] * 2_000_000


@damage
def a_deep_manifest(store: Store) -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    store.content["cuts"] = deep


@damage
def a_pipe_for_a_shard(store: Store) -> None:
    store.path(1).unlink()
    os.mkfifo(store.path(1))
    store.shards[1] |= {"bytes": 0, "blocks": "", "num_jets": 0, "num_particles": 0}
    for name in ("num_jets", "num_particles"):
        store.content[name] = sum(own[name] for own in store.shards)


DAMAGES |= {
    "no checksums": shard(blocks=""),
    "one checksum too many": lambda s: shard(blocks=s.shards[1]["blocks"] + "0" * 16)(s),
    "checksums of other letters": shard(blocks="g" * 16),
    "a shard above the folder": shard(name="../shard-00001.h5"),
    "a shard with an absolute name": shard(name="/shard-00001.h5"),
    "a piece for a shard": lambda s: (
        s.path(1).rename(s.folder / "piece-00001-000.h5"),
        shard(name="piece-00001-000.h5")(s),
    ),
    "a petabyte": shard(bytes=1 << 50),
    "a place beyond the file": start("p4", 1 << 40),
    "a place of 2^70": start("p4", 1 << 70),
    "a negative place": start("p4", -8),
    "a place in a text": start("p4", "2048"),
    "an unknown dataset": start("masses", 2048),
    "labels twice": manifest(label_names=["label_top", "label_top"]),
    "an empty name": manifest(label_names=["label_top", ""]),
    "labels that are a text": manifest(label_names="label_top"),
    "shards that are a mapping": manifest(shards={}),
    "a key of two lines": manifest(**{"x\n\x1b[31m": 1}),
}


@damage
def columns_twice(store: Store) -> None:
    names = store.content["extra_names"]
    names[1] = names[0]


# ------------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A store of three shards, shuffled as far as it says."""
    folder = tmp_path_factory.mktemp("hostile")
    sets = [toy_jets(NUM_JETS, seed) for seed in range(3)]
    files = [write_jetclass_root(folder / f"{i}.root", jets) for i, jets in enumerate(sets)]
    prepare(files, folder / "good", shuffle=False, shard_bytes=1)
    return folder / "good"


def made(good: Path, name: str) -> Path:
    """Return a damaged copy of the store."""
    folder = good.parent / name.replace(" ", "-").replace("^", "").replace(",", "")
    shutil.copytree(good, folder)
    store = Store(folder)
    store.content["shuffle_seed"] = 0  # so that it is streamed
    DAMAGES[name](store)
    (folder / "manifest.json").write_text(json.dumps(store.content))
    return folder


@pytest.fixture(scope="module")
def ask(good):
    """Return a function of a store's folder: what every way to read it says."""
    command = [sys.executable, "-m", "helpers.reading", good, good.parent]
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        text=True,
    ) as process:

        def ask(folder: Path) -> dict[str, str]:
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            return json.loads(line) if line else {"all": f"the process ended: {process.wait()}"}

        yield ask
        process.stdin.close()


def test_every_way_reads_a_good_store(ask, good):
    found = ask(good)
    same = found.pop("same store")
    assert all(text.startswith("read:") for text in found.values()), found
    assert "made from" in same or "another order" in same or same.startswith("read"), same
    assert (good.parent / RUN).is_dir()
    left = {path.name for path in good.parent.iterdir() if path.name.endswith(LEFT)}
    assert left == {"good-p", "good-o", "good-scores.h5"}


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_refused_in_one_sentence_and_nothing_is_left(name, ask, good):
    folder = made(good, name)
    for way, text in ask(folder).items():
        assert text.startswith("refused: "), f"{way}: {text}"
        assert str(folder) in text, f"{way}: {text}"
        assert "prepare" in text, f"{way}: {text}"
        assert text.isprintable(), f"{way}: {text!r}"
        assert len(text) < 600, f"{way}: {text}"
    assert not [path for path in good.parent.glob(f"{folder.name}-*") if path.name.endswith(LEFT)]
