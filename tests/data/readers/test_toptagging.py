"""The top-tagging reference files: read by dtype and shape, attributes never opened."""

import os
import pickle

import h5py
import numpy as np
import pytest

from helpers.files import toptagging_table, write_toptagging_h5
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.errors import InputError
from parttag.jets.validity import FAULTS, jet_faults
from parttag.testing import toy_jets


@pytest.mark.parametrize("compression", ["zlib", "blosc", None])
def test_jets_come_back_as_they_were_written(tmp_path, compression):
    toys = toy_jets(12)
    path = write_toptagging_h5(tmp_path / "a.h5", toys, compression=compression)
    (jets,) = read_chunks(path)
    np.testing.assert_array_equal(jets.p4, toys.p4)
    np.testing.assert_array_equal(jets.offsets, toys.offsets)
    np.testing.assert_array_equal(jets.labels, toys.labels)
    np.testing.assert_allclose(jets.jet_p4, toys.jet_p4, rtol=1e-6)
    np.testing.assert_allclose(jets.jet_axis, toys.jet_axis, atol=1e-6)
    assert jets.label_names == ("label_top", "label_QCD")
    assert jets.extra_names == ()


def test_chunks_hold_all_jets_in_order(tmp_path):
    toys = toy_jets(11)
    path = write_toptagging_h5(tmp_path / "a.h5", toys)
    chunks = list(read_chunks(path, chunk_jets=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([c.index for c in chunks]), np.arange(11))
    np.testing.assert_array_equal(np.concatenate([c.p4 for c in chunks]), toys.p4)
    assert count_jets(path) == 11


def test_jet_momenta_are_summed_in_double_precision(tmp_path):
    table = toptagging_table(toy_jets(1, lengths=[1]))
    # One hard particle and 199 that single precision would lose beside it, one by one.
    table["values_block_0"][0, :800] = np.tile([1e-4, 1e-4, 0, 0], 200)
    table["values_block_0"][0, :4] = [4096, 4096, 0, 0]
    (jets,) = read_chunks(write_toptagging_h5(tmp_path / "a.h5", toy_jets(1), table=table))
    assert jets.jet_p4[0, 3] == np.float32(4096.0199)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_in_the_attributes_are_never_opened(tmp_path):
    path = write_toptagging_h5(tmp_path / "a.h5", toy_jets(3))
    payload = np.bytes_(pickle.dumps(Malicious(tmp_path / "hacked"), protocol=0))
    with h5py.File(path, "r+") as file:
        for node in (file["table"], file["table/table"]):
            for name in ("non_index_axes", "values_cols", "info", "values_block_0_kind"):
                node.attrs[name] = payload
    assert sum(len(jets) for jets in read_chunks(path)) == 3
    read_branches(path, ["ttv"])
    assert not (tmp_path / "hacked").exists()
    pickle.loads(payload)
    assert (tmp_path / "hacked").exists()  # so the attribute was a danger


@pytest.mark.parametrize(
    ("slot", "fault"),
    [
        ([np.nan, 1, 0, 0], "non-finite momentum"),
        ([-1, 0, 0, 0], "negative energy"),
        ([0, 1, 0, 0], "momentum above energy"),
    ],
)
def test_a_broken_slot_is_kept_so_that_its_jet_is_judged(tmp_path, slot, fault):
    table = toptagging_table(toy_jets(3))
    table["values_block_0"][1, 796:800] = slot
    (jets,) = read_chunks(write_toptagging_h5(tmp_path / "a.h5", toy_jets(3), table=table))
    faults = jet_faults(jets)
    assert faults.tolist() == [-1, FAULTS.index(fault), -1]


def test_unsorted_constituents_are_put_in_order(tmp_path):
    toys = toy_jets(2, lengths=[5, 5])
    table = toptagging_table(toys)
    slots = table["values_block_0"][:, :20].reshape(2, 5, 4)[:, ::-1]
    table["values_block_0"][:, :20] = slots.reshape(2, 20)
    (jets,) = read_chunks(write_toptagging_h5(tmp_path / "a.h5", toys, table=table))
    np.testing.assert_array_equal(jets.p4, toys.p4)


def test_columns_to_keep_are_the_tables_integers(tmp_path):
    table = toptagging_table(toy_jets(4))
    table["index"] = [7, 8, 9, 10]
    table["values_block_1"][:, 0] = [0, 1, 2, 0]
    path = write_toptagging_h5(tmp_path / "a.h5", toy_jets(4), table=table)
    kept = read_branches(path, ["index", "is_signal_new", "ttv"])
    assert list(kept) == ["index", "is_signal_new", "ttv"]
    assert kept["index"].to_list() == [7, 8, 9, 10]
    assert kept["ttv"].to_list() == [0, 1, 2, 0]
    assert kept["is_signal_new"].to_list() == [1, 0, 1, 0]
    with pytest.raises(InputError, match="has no branch E_0; it has index, ttv, is_signal_new"):
        read_branches(path, ["E_0"])


def test_a_label_that_is_not_zero_or_one_is_refused(tmp_path):
    table = toptagging_table(toy_jets(4))
    table["values_block_1"][2, 1] = 3
    path = write_toptagging_h5(tmp_path / "a.h5", toy_jets(4), table=table)
    with pytest.raises(InputError, match="is_signal_new must be 0 or 1, but is 3 for jet 2"):
        list(read_chunks(path))


@pytest.mark.parametrize("dataset", ["table/table", "scores"])
def test_other_hdf5_files_are_refused(tmp_path, dataset):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[dataset] = np.zeros((3, 804), dtype=np.float32)
    with pytest.raises(InputError, match=r"a\.h5 is not a top-tagging file"):
        count_jets(tmp_path / "a.h5")


def test_a_table_without_rows_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["table/table"] = toptagging_table(toy_jets(1))[:0]
    with pytest.raises(InputError, match="holds no jets"):
        list(read_chunks(path))
