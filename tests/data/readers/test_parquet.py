"""Parquet files in JetClass's layout."""

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.files import jetclass_branches, write_jetclass_parquet, write_jetclass_root
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.errors import InputError
from parttag.testing import toy_jets


def test_parquet_and_root_give_the_same_jets(tmp_path):
    toys = toy_jets(9)
    (from_root,) = read_chunks(write_jetclass_root(tmp_path / "a.root", toys))
    (jets,) = read_chunks(write_jetclass_parquet(tmp_path / "a.parquet", toys))
    for name in ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels", "index"):
        np.testing.assert_array_equal(getattr(jets, name), getattr(from_root, name))


def test_chunks_hold_all_jets_in_order(tmp_path):
    path = write_jetclass_parquet(tmp_path / "a.parquet", toy_jets(11))
    chunks = list(read_chunks(path, chunk_jets=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([c.index for c in chunks]), np.arange(11))
    assert count_jets(path) == 11


def test_missing_values_make_no_particles_or_not_a_number(tmp_path):
    branches = {
        k: ak.to_list(v) for k, v in jetclass_branches(toy_jets(3, lengths=[2, 3, 1])).items()
    }
    for name in branches:
        if name.startswith("part_"):
            branches[name][0] = None
    branches["part_px"][1][2] = None
    pq.write_table(pa.table(branches), tmp_path / "a.parquet")
    (jets,) = read_chunks(tmp_path / "a.parquet")
    np.testing.assert_array_equal(jets.lengths, [0, 3, 1])
    assert np.isnan(jets.p4[:, 0]).sum() == 1


def test_a_missing_branch_is_named(tmp_path):
    path = write_jetclass_parquet(tmp_path / "a.parquet", toy_jets(2), without=["part_energy"])
    with pytest.raises(InputError, match=r"a\.parquet has no branch part_energy; it has part_px"):
        list(read_chunks(path))


def test_branches_to_keep_are_read_whole(tmp_path):
    toys = toy_jets(4)
    path = write_jetclass_parquet(tmp_path / "a.parquet", toys)
    kept = read_branches(path, ["jet_nparticles"])
    np.testing.assert_array_equal(kept["jet_nparticles"], toys.lengths)
    with pytest.raises(InputError, match="has no branch nothing"):
        read_branches(path, ["nothing"])


def test_a_file_without_jets_is_refused(tmp_path):
    path = write_jetclass_parquet(tmp_path / "a.parquet", toy_jets(2).take(np.arange(0)))
    with pytest.raises(InputError, match="holds no jets"):
        list(read_chunks(path))
