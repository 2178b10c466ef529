"""Jets taken by row, from memory and from stores."""

import hashlib

import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.data import JetDataset, JetStore, open_dataset, prepare
from parttag.data.jet_files import JetFiles
from parttag.errors import InputError
from parttag.jets.arrays import concatenate
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
FIELDS = ("p4", "extra", "offsets", "jet_p4", "labels", "jet_weights", "index")


def assert_same(jets, expected):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(jets, name), getattr(expected, name))


@pytest.fixture
def files(tmp_path):
    return [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(15, seed=i)) for i in range(3)]


@pytest.fixture
def store(tmp_path, files):
    prepare(files, tmp_path / "store", shuffle=False, shard_bytes=1)
    return tmp_path / "store"


def test_files_and_the_store_made_from_them_give_the_same_jets(files, store):
    rows = np.random.default_rng(0).integers(0, 45, 60)
    in_memory, mapped = open_dataset(files, CLASSES), open_dataset([store], CLASSES)
    assert len(in_memory) == len(mapped) == 45
    assert_same(mapped.take(rows), in_memory.take(rows))
    np.testing.assert_array_equal(mapped.classes, in_memory.classes)
    assert mapped.sources == in_memory.sources == tuple(map(str, files))
    assert mapped.extra_names == in_memory.extra_names


def test_files_and_stores_may_be_mixed(tmp_path, files, store):
    extra = write_jetclass_root(tmp_path / "more.root", toy_jets(5, seed=9))
    mixed = open_dataset([store, extra], CLASSES)
    apart = open_dataset([*files, extra], CLASSES)
    rows = np.array([49, 3, 20, 46, 3])
    assert_same(mixed.take(rows), apart.take(rows))


def test_rows_come_in_the_order_asked_for_over_all_parts():
    parts = [toy_jets(n, seed=n) for n in (4, 0, 7, 3)]
    whole = concatenate(parts)
    dataset = JetDataset(parts, np.arange(14))
    rows = np.array([13, 0, 5, 4, 10, 11, 0, 3])
    assert_same(dataset.take(rows), whole.take(rows))
    assert_same(dataset.take(rows[:0]), whole.take(rows[:0]))
    assert_same(dataset.take(rows[-1:]), whole.take(rows[-1:]))


def test_jets_of_no_class_are_left_out_and_counted(files):
    dataset = open_dataset(files, {"top": ["label_top"]})
    assert len(dataset) == 24
    assert dataset.counts.dropped == {"of no class": 21}
    assert (dataset.take(np.arange(24)).labels[:, 0] == 1).all()
    assert dataset.classes.tolist() == [0] * 24


def test_classes_belong_to_the_rows(files):
    dataset = open_dataset(files, CLASSES)
    rows = np.random.default_rng(1).permutation(45)
    np.testing.assert_array_equal(dataset.take(rows).labels[:, 1], dataset.classes[rows])


def test_a_subset_is_the_same_every_time_in_order_and_part_of_a_larger_one(files, store):
    dataset = open_dataset(files, CLASSES)
    few, more = dataset.subset(7), dataset.subset(20)
    assert (len(few), len(more)) == (7, 20)
    index = [part.take(np.arange(len(part))).index for part in (few, more)]
    assert (np.diff(index[0]) > 0).all()
    assert set(index[0]) < set(index[1])
    again = open_dataset([store], CLASSES).subset(7)
    assert_same(again.take(np.arange(7)), few.take(np.arange(7)))
    np.testing.assert_array_equal(again.classes, few.classes)
    np.testing.assert_array_equal(few.take(np.arange(7)).labels[:, 1], few.classes)
    assert few.counts.dropped == {"beyond data.num_train_jets": 38}
    assert few.counts.kept == 7
    assert not dataset.counts.dropped


def test_a_seed_draws_another_subset_and_always_the_same(files):
    dataset = open_dataset(files, CLASSES)

    def drawn(num_jets: int, seed: int | None) -> set[int]:
        return set(dataset.subset(num_jets, seed).take(np.arange(num_jets)).index.tolist())

    draws = [drawn(20, seed) for seed in (None, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[1] != draws[2] == drawn(20, 1)
    assert draws[2] != drawn(20, 2)
    assert drawn(7, 1) < draws[2]


def test_a_subset_is_drawn_from_the_jets_of_a_class(files):
    tops = open_dataset(files, {"top": ["label_top"]})
    assert len(tops.subset(24)) == 24
    assert (tops.subset(5).take(np.arange(5)).labels[:, 0] == 1).all()
    with pytest.raises(InputError, match=r"num_train_jets is 25, but data\.train has 24 good jets"):
        tops.subset(25)


def test_bad_jets_are_left_out_and_counted(tmp_path):
    toys = toy_jets(6)
    toys.p4[toys.offsets[3]] = np.inf
    path = write_jetclass_root(tmp_path / "a.root", toys)
    dataset = open_dataset([path], CLASSES)
    assert dataset.counts.dropped == {"non-finite momentum": 1}
    assert dataset.take(np.arange(5)).index.tolist() == [0, 1, 2, 4, 5]
    with pytest.raises(InputError, match=r"a\.root, jet 3 is bad"):
        open_dataset(JetFiles(path, strict=True), CLASSES)


def test_required_columns_must_be_there(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(3), without=["part_d0val"])
    open_dataset([path], CLASSES, require_extras=["charge", "dz"])
    message = r"a\.root has no particle column d0, which the features need: choose features: kin"
    with pytest.raises(InputError, match=message):
        open_dataset([path], CLASSES, require_extras=["charge", "d0"])


def test_a_label_that_is_missing_is_refused(files):
    with pytest.raises(InputError, match="has no label label_W for class W"):
        open_dataset(files, {"W": ["label_W"]})


def test_nothing_left_is_refused(tmp_path):
    toys = toy_jets(4).take(np.array([0, 2]))
    path = write_jetclass_root(tmp_path / "a.root", toys)
    with pytest.raises(InputError, match=r"no jet of .*a\.root is left: .*\(2 of no class\)"):
        open_dataset([path], {"QCD": ["label_QCD"]})


def test_provenance_hashes_files_and_takes_that_of_stores(tmp_path, files, store):
    dataset = open_dataset([store, files[0].rename(tmp_path / "moved.root")], CLASSES)
    provenance = dataset.provenance()
    content = (tmp_path / "moved.root").read_bytes()
    expected = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert provenance[0] == {"path": str(files[0]), **expected}
    assert provenance[3] == {"path": str(tmp_path / "moved.root"), **expected}
    assert [entry["path"] for entry in provenance] == list(dataset.sources)


def test_a_changed_store_is_refused(store):
    shard = store / "shard-00001.h5"
    content = bytearray(shard.read_bytes())
    content[JetStore(store).manifest.shards[1].starts["labels"]] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00001\.h5 is not what was written"):
        open_dataset([store], CLASSES)
