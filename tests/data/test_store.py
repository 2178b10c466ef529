"""The store on disk: what plain h5py finds there, and what is refused."""

import json

import h5py
import numpy as np
import pytest

from helpers.files import write_jetclass_root
from helpers.jets import toy_arrays
from parttag.data import JetStore, prepare, store_writer
from parttag.data.readers import find_files, read_chunks
from parttag.errors import InputError

FIELDS = ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels", "jet_weights", "index")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of 30 jets in three shards."""
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 1)
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_arrays(10, seed=i)) for i in range(3)]
    prepare(files, tmp_path / "store")
    return tmp_path / "store"


def test_jets_come_back_bit_for_bit(tmp_path, store):
    shards = list(JetStore(store).read_chunks(100))
    assert [len(shard) for shard in shards] == [10, 10, 10]
    for number, shard in enumerate(shards):
        (jets,) = read_chunks(tmp_path / f"{number}.root", file_number=number, sources=("",) * 3)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(shard, name), getattr(jets, name))
        assert shard.extra_names == jets.extra_names
        assert shard.label_names == jets.label_names
        assert shard.sources == tuple(str(tmp_path / f"{i}.root") for i in range(3))


def test_shards_are_mapped_into_memory_not_read(store):
    (jets, *_) = JetStore(store).read_chunks(100)
    for name in FIELDS:
        array = getattr(jets, name)
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.flags.aligned


def test_chunks_are_as_short_as_asked_for(store):
    chunks = list(JetStore(store).read_chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2] * 3
    np.testing.assert_array_equal(chunks[1].p4, toy_arrays(10, seed=0).span(4, 8).p4)


def test_plain_h5py_reads_a_jet(store):
    toys = toy_arrays(10, seed=1)
    with h5py.File(store / "shard-00001.h5") as file:
        start, stop = file["offsets"][7:9]
        np.testing.assert_array_equal(file["p4"][start:stop], toys.span(7, 8).p4)
        assert list(file["p4"].attrs["columns"]) == ["px", "py", "pz", "energy"]
        assert tuple(file["extra"].attrs["columns"]) == toys.extra_names
        labels = dict(zip(file["labels"].attrs["columns"], file["labels"][7], strict=True))
        assert labels == {"label_top": 0, "label_QCD": 1}


def test_a_directory_without_manifest_is_an_unfinished_store(store):
    (store / "manifest.json").unlink()
    with pytest.raises(InputError, match="is not a store"):
        JetStore(store)
    with pytest.raises(InputError, match="is an unfinished store"):
        find_files([store])


def test_a_truncated_shard_is_refused_when_the_store_is_opened(store):
    shard = store / "shard-00001.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"shard-00001\.h5 is not what was written"):
        JetStore(store)


def test_a_changed_byte_is_refused_when_the_shard_is_read(store):
    shard = store / "shard-00002.h5"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    chunks = JetStore(store).read_chunks(100)
    next(chunks), next(chunks)
    with pytest.raises(InputError, match=r"shard-00002\.h5 is not what was written"):
        next(chunks)


def test_a_missing_shard_is_named(store):
    (store / "shard-00000.h5").unlink()
    with pytest.raises(InputError, match=r"shard-00000\.h5: there is no such file"):
        JetStore(store)


def test_a_store_of_another_schema_is_refused(store):
    change_manifest(store, schema_version=99)
    with pytest.raises(InputError, match=r"of schema 99, but this parttag reads schema 1"):
        JetStore(store)


@pytest.mark.parametrize("change", [{"num_jets": "many"}, {"surprise": 1}])
def test_a_manifest_that_does_not_fit_is_refused(store, change):
    change_manifest(store, **change)
    with pytest.raises(InputError, match=rf"manifest\.json is damaged \({next(iter(change))}\)"):
        JetStore(store)


def test_a_shard_outside_the_store_is_refused(store):
    content = json.loads((store / "manifest.json").read_text())
    content["shards"][0]["name"] = "../shard-00000.h5"
    change_manifest(store, **content)
    with pytest.raises(InputError, match=r"is damaged \(shards\.0\.name\)"):
        JetStore(store)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_manifest_cut_short_is_refused(store, content):
    (store / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        JetStore(store)


def change_manifest(store, **changes):
    content = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(content | changes))
