"""The store on disk: what plain h5py finds there, and what is refused."""

import json
import shutil

import h5py
import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.data import JetStore, prepare
from parttag.data.readers import find_files, read_chunks
from parttag.data.store import shard as shard_file
from parttag.errors import InputError
from parttag.jets.arrays import concatenate
from parttag.testing import toy_jets

BLOCK = 1024
FIELDS = ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels", "jet_weights", "index")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three files, and the store of them."""
    path = tmp_path_factory.mktemp("made")
    files = [write_jetclass_root(path / f"{i}.root", toy_jets(10, seed=i)) for i in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_file, "BLOCK_BYTES", BLOCK)
        prepare(files, path / "store", shuffle=False, shard_bytes=1)
    return path


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """A store of 30 jets in three shards with small blocks, to be spoiled."""
    monkeypatch.setattr(shard_file, "BLOCK_BYTES", BLOCK)
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def in_files(directory):
    """Return the jets of the three files, as one set."""
    return concatenate(
        [
            jets
            for number in range(3)
            for jets in read_chunks(
                directory / f"{number}.root",
                file_number=number,
                sources=tuple(str(directory / f"{i}.root") for i in range(3)),
            )
        ]
    )


def assert_same(jets, expected):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(jets, name), getattr(expected, name))
    for name in ("extra_names", "label_names", "sources"):
        assert getattr(jets, name) == getattr(expected, name)


def test_jets_come_back_bit_for_bit(made, store):
    expected = in_files(made)
    chunks = list(JetStore(store).read_chunks(7))
    assert [len(chunk) for chunk in chunks] == [7, 7, 7, 7, 2]
    assert_same(concatenate(chunks), expected)


def test_ranges_are_read_in_the_order_asked_for_over_all_shards(made, store):
    ranges = [(25, 30), (8, 22), (3, 4), (5, 5)]
    rows = np.concatenate([np.arange(*pair) for pair in ranges])
    assert_same(JetStore(store).read(ranges), in_files(made).take(rows))


def test_particles_and_extra_columns_can_be_left_out(made, store):
    expected = in_files(made).span(5, 25)
    assert_same(JetStore(store).read([(5, 25)], extras=False), expected.without_extras())
    jets = JetStore(store).read([(5, 25)], particles=False)
    np.testing.assert_array_equal(jets.labels, expected.labels)
    np.testing.assert_array_equal(jets.index, expected.index)
    assert jets.lengths.tolist() == [0] * 20


def test_single_jets_are_taken_from_mapped_shards(made, store):
    rows = np.array([29, 0, 11, 10, 9, 0])
    opened = JetStore(store)
    assert_same(opened.take(rows), in_files(made).take(rows))
    assert_same(opened.take(rows[-1:]), in_files(made).take(rows[-1:]))
    assert_same(opened.take(rows, 5), in_files(made).take(rows, 5))


def test_plain_h5py_reads_a_jet(store):
    toys = toy_jets(10, seed=1)
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


def test_a_shard_cut_short_later_is_refused_when_it_is_read(store):
    opened = JetStore(store)
    shard = store / "shard-00001.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    opened.read([(0, 10), (20, 30)])
    for read in (opened.read, lambda ranges: opened.take(np.arange(*ranges[0]))):
        with pytest.raises(InputError, match=r"shard-00001\.h5 is not what was written"):
            read([(9, 21)])


def test_whichever_byte_is_changed_it_is_refused_when_its_block_is_first_read(store):
    """Or it is in a block that holds nothing of what was asked for."""
    path = store / "shard-00002.h5"
    content = path.read_bytes()
    expected = JetStore(store).read([(20, 30)])
    read_blocks = blocks_with_jets(JetStore(store).manifest.shards[2], expected)
    for position in np.linspace(0, len(content) - 1, 60).astype(int):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        opened = JetStore(store)
        opened.read([(0, 20)])
        with pytest.raises(InputError, match=r"shard-00002\.h5 is not what was written"):
            opened.take(np.array([25]))
        if position // BLOCK in read_blocks:
            with pytest.raises(InputError, match=r"shard-00002\.h5 is not what was written"):
                JetStore(store).read([(20, 30)])
        else:
            assert_same(opened.read([(20, 30)]), expected)
    assert len(read_blocks) > 10


def blocks_with_jets(shard, jets):
    """Return the blocks of a shard that hold a byte of its datasets."""
    blocks = set()
    for name in FIELDS:
        begin, size = shard.starts[name], getattr(jets, name).nbytes
        blocks |= set(range(begin // BLOCK, (begin + size - 1) // BLOCK + 1))
    return blocks


def test_a_block_is_checked_once(store, monkeypatch):
    opened = JetStore(store)
    digests = []
    digest = shard_file.xxhash.xxh3_64_hexdigest

    def counted(content):
        digests.append(len(content))
        return digest(content)

    monkeypatch.setattr(shard_file.xxhash, "xxh3_64_hexdigest", counted)
    opened.read([(0, 30)])
    size = sum(shard.bytes for shard in opened.manifest.shards)
    assert 0 < sum(digests) <= size
    digests.clear()
    opened.read([(0, 30)])
    assert not digests
    opened.take(np.array([3, 13, 23]))  # what was left
    assert sum(digests) < size / 2


def test_a_missing_shard_is_named(store):
    (store / "shard-00000.h5").unlink()
    with pytest.raises(InputError, match=r"shard-00000\.h5: there is no such file"):
        JetStore(store)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (99, "was made by a newer parttag: .* schema_version 99, .* reads up to 4; update parttag"),
        (1, "store of schema_version 1, but .* reads 2 and later: prepare the store again"),
        ("x", "schema_version is 'x', which is no version of a store"),
        (True, "schema_version is True, which is no version"),
        (-1, "schema_version is -1, which is no version"),
        (10**30, "a newer parttag: .* schema_version a number of many digits"),
    ],
)
def test_a_store_of_another_schema_is_refused(store, version, sentence):
    change_manifest(store, schema_version=version)
    with pytest.raises(InputError, match=sentence):
        JetStore(store)


@pytest.mark.parametrize("change", [{"num_jets": "many"}, {"surprise": 1}, {"num_particles": -1}])
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


def test_checksums_that_do_not_fit_the_size_are_refused(store):
    content = json.loads((store / "manifest.json").read_text())
    content["shards"][2]["blocks"] = content["shards"][2]["blocks"][:-16]
    change_manifest(store, **content)
    with pytest.raises(InputError, match=r"shard-00002\.h5 is not what was written"):
        JetStore(store)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_manifest_cut_short_is_refused(store, content):
    (store / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        JetStore(store)


def change_manifest(store, **changes):
    content = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(content | changes))


def test_a_store_says_what_it_is(store):
    text = repr(JetStore(store))
    assert text.startswith(f"JetStore {store}: 30 jets, ")
    assert ", in order, shards: 3 | extra: charge, " in text
    assert text.endswith("labels: label_top, label_QCD")
