"""``prepare``: what it keeps and counts, and that it leaves a whole store or nothing."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot

from helpers.files import write_jetclass_root, write_toptagging_h5
from parttag.data import JetStore, prepare
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.preparation import prepare as preparation
from parttag.data.preparation import shuffle as shuffling
from parttag.data.readers import find_files
from parttag.data.store import writer as store_writer
from parttag.errors import InputError
from parttag.jets.arrays import split_index
from parttag.system import atomic_files as writing
from parttag.system import processes
from parttag.testing import toy_jets


def with_bad_jets(seed: int = 0):
    """Return ten jets, of which the third and the fifth are bad."""
    toys = toy_jets(10, seed=seed)
    p4 = toys.p4.copy()
    p4[toys.offsets[2]] = np.nan
    p4[toys.offsets[4], 3] = -1
    return replace(toys, p4=p4)


def test_bad_jets_are_dropped_and_counted(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", with_bad_jets())
    report = prepare([path], tmp_path / "store")
    assert str(report.counts) == (
        "10 jets read, 8 kept, 2 dropped (1 non-finite momentum, 1 negative energy)"
    )
    manifest = JetStore(tmp_path / "store").manifest
    assert manifest.num_jets == 8
    assert manifest.dropped == {"non-finite momentum": 1, "negative energy": 1}
    (jets,) = JetStore(tmp_path / "store").read_chunks(100)
    assert sorted(jets.index.tolist()) == [0, 1, 3, 5, 6, 7, 8, 9]


def test_strict_refuses_the_first_bad_jet_and_leaves_nothing(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", with_bad_jets())
    with pytest.raises(InputError, match=r"a\.root, jet 2 is bad \(non-finite momentum\)"):
        prepare([path], tmp_path / "store", strict=True)
    assert not (tmp_path / "store").exists()


def test_strict_refuses_a_store_that_was_made_without_bad_jets(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", with_bad_jets())
    prepare([path], tmp_path / "store")
    sentence = r"made without the bad jets of its sources \(1 non-finite momentum, 1 negative"
    with pytest.raises(InputError, match=sentence):
        prepare([path], tmp_path / "store", strict=True)
    with pytest.raises(InputError, match=sentence):
        open_dataset(JetFiles(tmp_path / "store", strict=True), {"all": ["label_top", "label_QCD"]})


def test_a_file_of_bad_jets_only_is_refused(tmp_path):
    jets = with_bad_jets().take(np.array([2, 4]))
    path = write_jetclass_root(tmp_path / "a.root", jets)
    with pytest.raises(InputError, match=r"would hold no jets: 2 jets read, 0 kept"):
        prepare([path], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_memory_is_bounded_by_chunks_pieces_and_shards(tmp_path, monkeypatch):
    num_bytes = toy_jets(10).p4.nbytes + toy_jets(10).extra.nbytes
    largest = {"piece": 0, "shard": 0}
    write_shard = shuffling.write_shard

    def noted(path, jets, *args, **kwargs):
        kind = path.name.split("-")[0]
        largest[kind] = max(largest[kind], len(jets))
        return write_shard(path, jets, *args, **kwargs)

    monkeypatch.setattr(shuffling, "write_shard", noted)
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(200))
    sizes = {"chunk_jets": 5, "piece_bytes": num_bytes, "shard_bytes": 2 * num_bytes}
    report = prepare([path], tmp_path / "store", **sizes)
    shards = JetStore(tmp_path / "store").manifest.shards
    assert report.num_shards == len(shards) >= 9
    assert sum(shard.bytes for shard in shards) == report.num_bytes
    assert largest["piece"] <= 25
    assert largest["shard"] <= 40


def test_files_of_several_formats_become_one_store(tmp_path):
    toys = toy_jets(6, extra_names=())
    files = [
        write_toptagging_h5(tmp_path / "a.h5", toys),
        # An RNTuple lists its branches by the alphabet: other order, same labels.
        write_jetclass_root(tmp_path / "b.root", toys, rntuple=True),
    ]
    prepare(files, tmp_path / "store", shuffle=False)
    (first, second) = np.split(next(JetStore(tmp_path / "store").read_chunks(100)).labels, 2)
    np.testing.assert_array_equal(first, toys.labels)
    np.testing.assert_array_equal(second, toys.labels)


@pytest.mark.parametrize(
    ("without", "kind"), [("label_top", "labels"), ("part_charge", "particle columns")]
)
def test_files_of_different_columns_are_refused_by_name(tmp_path, without, kind):
    files = [
        write_jetclass_root(tmp_path / "a.root", toy_jets(3)),
        write_jetclass_root(tmp_path / "b.root", toy_jets(3), without=[without]),
    ]
    message = rf"b\.root and .*a\.root differ in their {kind} \((label_top|charge)\)"
    with pytest.raises(InputError, match=message):
        prepare(files, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_files_of_other_jet_branches_are_refused_before_any_is_read(tmp_path):
    files = [
        write_jetclass_root(tmp_path / "a.root", toy_jets(3)),
        write_jetclass_root(tmp_path / "b.root", toy_jets(3)),
        write_jetclass_root(tmp_path / "c.root", toy_jets(3), without=["jet_energy"]),
    ]
    begun = []

    def watch(items, *, total, description):
        begun.append(description)
        yield from items

    message = r"c\.root and .*a\.root differ in their jet branches \(jet_energy, jet_eta, jet_phi"
    with pytest.raises(InputError, match=message):
        prepare(files, tmp_path / "store", progress=watch)
    assert begun == []
    prepare(files[:2], tmp_path / "store", progress=watch)
    assert begun == ["Reading files", "Writing shards"]


def test_extra_columns_of_another_order_are_put_into_the_firsts(tmp_path):
    toys = toy_jets(3)
    files = [
        write_jetclass_root(tmp_path / "a.root", toys),
        write_jetclass_root(tmp_path / "b.root", toys),
    ]
    stores = [tmp_path / "first", tmp_path / "second"]
    for file, store in zip(files, stores, strict=True):
        prepare([file], store, shuffle=False)
    swapped = JetStore(stores[1])
    names = tuple(reversed(swapped.manifest.extra_names))
    store_writer.write_manifest(
        stores[1], swapped.manifest.model_copy(update={"extra_names": names})
    )
    prepare(stores, tmp_path / "both", shuffle=False)
    (jets,) = JetStore(tmp_path / "both").read_chunks(100)
    assert jets.extra_names == toys.extra_names
    np.testing.assert_array_equal(jets.extra[len(toys.p4) :], toys.extra[:, ::-1])


def test_stores_are_merged_and_keep_their_sources(tmp_path):
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(4, seed=i)) for i in range(3)]
    prepare(files[:2], tmp_path / "first", shuffle=False)
    prepare([files[2], tmp_path / "first"], tmp_path / "all", shuffle=False)
    store = JetStore(tmp_path / "all")
    assert store.sources == tuple(str(files[i]) for i in (2, 0, 1))
    (jets,) = store.read_chunks(100)
    file_numbers, rows = split_index(jets.index)
    assert file_numbers.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert rows.tolist() == list(range(4)) * 3


def test_the_same_sources_again_change_nothing(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4))
    first = prepare([path], tmp_path / "store")
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "store").iterdir())
    second = prepare([path.rename(tmp_path / "moved.root")], tmp_path / "store")
    assert sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "store").iterdir()) == before
    assert not first.existed
    assert second == replace(first, existed=True)


def test_a_store_of_other_sources_is_never_overwritten(tmp_path):
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(4, seed=i)) for i in range(2)]
    prepare([files[0]], tmp_path / "store")
    with pytest.raises(InputError, match="store holds a store made from other files"):
        prepare([files[1]], tmp_path / "store")
    assert len(JetStore(tmp_path / "store")) == 4


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_whatever_else_is_in_the_place_stays(tmp_path, kind):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2))
    out = tmp_path / "out"
    if kind == "directory":
        out.mkdir()
    other = out if kind == "file" else out / "thesis.tex"
    other.write_text("precious")
    with pytest.raises(InputError, match="out exists already: choose another place"):
        prepare([path], out)
    assert other.read_text() == "precious"


def test_what_an_interrupted_writing_left_is_replaced(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4))
    out = tmp_path / "store"
    out.mkdir()
    for name in (
        "shard-00000.h5",
        "shard-00007.h5",
        ".shard-00008.h5.1.partial",
        ".manifest.json.2.partial",
    ):
        (out / name).write_text("half")
    prepare([path], out)
    assert sorted(p.name for p in out.iterdir()) == ["manifest.json", "shard-00000.h5"]


@pytest.mark.parametrize("moment", ["shard", "manifest"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, moment):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4))

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "long text of a library")

    if moment == "shard":
        monkeypatch.setattr(store_writer, "block_digests", full)
    else:
        monkeypatch.setattr(writing, "sync", full)
    message = r"store\S* cannot be written \(no space left on device\): free some space"
    with pytest.raises(InputError, match=message):
        prepare([path], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_h5py_running_out_of_space_is_noticed(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(200))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"store\S* cannot be written \(file too large\)"):
            prepare([path], tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "store").exists()


def test_no_permission_is_one_sentence(tmp_path, monkeypatch):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(4))

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    message = r"store\S* cannot be written \(permission denied\): choose another place"
    with pytest.raises(InputError, match=message):
        prepare([path], tmp_path / "store")


def test_a_damaged_file_leaves_nothing_even_if_others_were_read(tmp_path):
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(20)) for i in range(2)]
    with uproot.open(files[1]) as file:
        basket = int(file["tree"]["part_py"].member("fBasketSeek")[0])
    content = files[1].read_bytes()
    files[1].write_bytes(content[: basket + 100] + bytes(50) + content[basket + 150 :])
    with pytest.raises(InputError, match=r"1\.root is damaged"):
        prepare(files, tmp_path / "store")
    assert not (tmp_path / "store").exists()


# ------------------------------------------------------------------ the same store, however made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files by class, in order of falling pT."""
    directory = tmp_path_factory.mktemp("files")
    toys = toy_jets(120)
    paths = []
    for number, name in enumerate(("top", "QCD")):
        jets = toys.take(np.arange(number, 120, 2))
        order = np.argsort(-np.hypot(jets.jet_p4[:, 0], jets.jet_p4[:, 1]))
        paths.append(write_jetclass_root(directory / f"{name}.root", jets.take(order)))
    return paths


# Chunks of 20 jets, pieces of one chunk, shards of about 30 jets.
SMALL = {"piece_bytes": 15_000, "shard_bytes": 30_000, "chunk_jets": 20}


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


def test_a_seed_gives_one_store_byte_for_byte(tmp_path, files):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        prepare(files, tmp_path / name, **SMALL, seed=seed)
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert len(first) > 4
    assert first == again
    assert first["shard-00001.h5"] != other["shard-00001.h5"]


def test_shuffled_stores_hold_every_jet_once_with_its_source(tmp_path, files):
    prepare(files, tmp_path / "kept", **SMALL, shuffle=False)
    prepare(files, tmp_path / "mixed", **SMALL)
    kept = next(JetStore(tmp_path / "kept").read_chunks(1000))
    mixed = next(JetStore(tmp_path / "mixed").read_chunks(1000))
    assert kept.index.tolist() == sorted(kept.index.tolist())
    assert mixed.index.tolist() != kept.index.tolist()
    restored = mixed.take(np.argsort(mixed.index))
    for name in ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels", "index"):
        np.testing.assert_array_equal(getattr(restored, name), getattr(kept, name))
    assert JetStore(tmp_path / "mixed").manifest.shuffle_seed == 0
    assert JetStore(tmp_path / "kept").manifest.shuffle_seed is None


def test_another_order_of_the_same_jets_is_not_overwritten(tmp_path, files):
    prepare(files, tmp_path / "store")
    for choices in ({"shuffle": False}, {"seed": 1}):
        with pytest.raises(InputError, match="the same jets in another order"):
            prepare(files, tmp_path / "store", **choices)


def test_processes_change_nothing(tmp_path, files, monkeypatch):
    prepare(files, tmp_path / "one", **SMALL)
    called = []

    def in_two_processes(function, numbers, processes):
        called.append(processes)
        yield from map(pickle.loads(pickle.dumps(function)), reversed(numbers))

    monkeypatch.setattr(processes, "run_all", in_two_processes)
    prepare(files, tmp_path / "two", **SMALL, processes=2)
    assert called == [2, 2]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.slow
def test_real_processes_make_the_same_store(tmp_path, files):
    prepare(files, tmp_path / "one", **SMALL)
    prepare(files, tmp_path / "two", **SMALL, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("moment", range(1, 12, 2))
def test_killed_at_any_moment_it_continues_to_the_same_store(tmp_path, files, monkeypatch, moment):
    """What stops it is no exception that anything could be done about."""
    prepare(files, tmp_path / "straight", **SMALL)
    replace_file, calls = Path.replace, []

    def dies(self, target):
        calls.append(target.name)
        if len(calls) == moment:
            raise KeyboardInterrupt
        return replace_file(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(files, tmp_path / "store", **SMALL)
    assert not (tmp_path / "store" / "manifest.json").exists()
    with pytest.raises(InputError, match="is an unfinished store"):
        find_files([tmp_path / "store"])
    done = len(list((tmp_path / "store" / ".unfinished").glob("*.json"))) - 1

    made = []
    for name in ("make_pieces", "make_shard"):
        task = getattr(preparation, name)
        monkeypatch.setattr(
            preparation, name, lambda *args, task=task: made.append(args[1]) or task(*args)
        )
    assert prepare(files, tmp_path / "store", **SMALL).counts.kept == 120
    assert contents(tmp_path / "store") == contents(tmp_path / "straight")
    num_tasks = len(files) + len(JetStore(tmp_path / "store").manifest.shards)
    assert len(made) == num_tasks - max(done, 0)


def test_a_killed_process_leaves_no_store_but_what_it_needs_to_continue(tmp_path, files):
    code = f"""
        import os
        from parttag.data.preparation import prepare as preparation
        preparation.make_shard = lambda plan, number: os.kill(os.getpid(), 9)
        preparation.prepare({list(map(str, files))!r}, {str(tmp_path / "store")!r})
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    killed = subprocess.run(command, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="is not a store"):
        JetStore(tmp_path / "store")
    prepare(files, tmp_path / "store")
    prepare(files, tmp_path / "straight")
    assert contents(tmp_path / "store") == contents(tmp_path / "straight")


def test_files_that_changed_in_between_are_read_again(tmp_path, monkeypatch):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(40))

    def interrupted(plan, number):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "make_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare([path], tmp_path / "store", **SMALL)
    path.unlink()
    write_jetclass_root(path, toy_jets(30, seed=1))
    assert prepare([path], tmp_path / "store", **SMALL).counts.kept == 30
    prepare([path], tmp_path / "straight", **SMALL)
    assert contents(tmp_path / "store") == contents(tmp_path / "straight")


def test_what_a_kill_after_the_manifest_left_is_removed(tmp_path, files):
    prepare(files, tmp_path / "store")
    (tmp_path / "store" / ".unfinished").mkdir()
    assert prepare(files, tmp_path / "store").existed
    assert not (tmp_path / "store" / ".unfinished").exists()


def test_a_process_that_dies_can_be_replaced(tmp_path, files, monkeypatch):
    def dead(function, numbers, processes):
        raise BrokenProcessPool
        yield

    with monkeypatch.context() as patch:
        patch.setattr(processes, "run_all", dead)
        with pytest.raises(InputError, match=r"a process was killed .* it continues"):
            prepare(files, tmp_path / "store", **SMALL, processes=2)
    assert prepare(files, tmp_path / "store", **SMALL).counts.kept == 120
