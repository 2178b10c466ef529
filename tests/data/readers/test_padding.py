"""Slots without momentum and energy are no particles, whatever the layout."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

from helpers.files import jetclass_branches
from helpers.mapped import read
from parttag.data.readers import read_chunks
from parttag.jets.awkward_arrays import from_awkward
from parttag.testing import toy_jets

PER_JET = ("jet_", "label_")


def padded_branches(toys, slots):
    """Return JetClass's branches of jets as arrays of so many slots, filled up with zeros."""
    branches = jetclass_branches(toys)
    return {
        name: values
        if name.startswith(PER_JET)
        else ak.to_numpy(ak.fill_none(ak.pad_none(values, slots, axis=1), 0)).astype("f8")
        for name, values in branches.items()
    }


@pytest.mark.parametrize("kind", ["fixed", "jagged", "in between"])
def test_padded_jetclass_files_give_the_jets_without_padding(tmp_path, kind):
    toys = toy_jets(20)
    branches = padded_branches(toys, int(toys.lengths.max()) + 3)
    if kind == "jagged":
        branches = {
            n: v if n.startswith(PER_JET) else ak.from_regular(ak.Array(v))
            for n, v in branches.items()
        }
    if kind == "in between":  # and before the real ones
        branches = {n: v if n.startswith(PER_JET) else v[:, ::-1] for n, v in branches.items()}
    with uproot.recreate(tmp_path / "padded.root") as file:
        file["tree"] = branches
    with uproot.recreate(tmp_path / "plain.root") as file:
        file["tree"] = {
            n: v if n.startswith(PER_JET) else ak.values_astype(v, np.float64)
            for n, v in jetclass_branches(toys).items()
        }
    (padded,) = read_chunks(tmp_path / "padded.root")
    (plain,) = read_chunks(tmp_path / "plain.root")
    assert padded.lengths.tolist() == toys.lengths.tolist()
    for name in ("p4", "extra", "jet_p4", "labels", "offsets"):
        np.testing.assert_array_equal(getattr(padded, name), getattr(plain, name))
    np.testing.assert_allclose(padded.jet_axis, plain.jet_axis, atol=1e-6)


def test_the_axes_of_padded_jets_look_at_particles_only(tmp_path):
    toys = toy_jets(5)
    names = ("part_deta", "part_dphi")
    branches = padded_branches(toys, int(toys.lengths.max()) + 30)
    assert set(names) <= set(branches)
    front = {n: v if n.startswith(PER_JET) else v[:, ::-1] for n, v in branches.items()}
    with uproot.recreate(tmp_path / "a.root") as file:
        file["tree"] = front
    (jets,) = read_chunks(tmp_path / "a.root")
    np.testing.assert_allclose(jets.jet_axis, toys.jet_axis, atol=2e-5)


def test_zeros_in_awkward_arrays_are_padding_too():
    array = ak.Array([[{"pt": 2.0, "eta": 0.0, "phi": 0.0, "mass": 0.0}]])
    zero = ak.Array([[{"pt": 0.0, "eta": 0.0, "phi": 0.0, "mass": 0.0}]])
    jets = from_awkward(ak.concatenate([zero, array, zero], axis=1))
    assert jets.p4.tolist() == [[2.0, 0.0, 0.0, 2.0]]


@pytest.mark.parametrize("more", ["", ", mask: ok", ", count: n"])
def test_a_slot_of_zeros_is_padding_even_where_the_file_counts_it(tmp_path, more):
    arrays = {n: np.array([[3.0, 0.0, 1.0]]) for n in ("px", "py", "pz")}
    arrays |= {"e": np.array([[9.0, 0.0, 5.0]]), "ok": np.ones((1, 3)), "n": np.array([3])}
    with uproot.recreate(tmp_path / "a.root") as file:
        file["tree"] = arrays
    jets = read(tmp_path / "a.root", f"particles: {{px: px, py: py, pz: pz, energy: e{more}}}")
    assert jets.lengths.tolist() == [2]


def test_what_is_no_number_is_not_padding(tmp_path):
    toys = toy_jets(3)
    p4 = toys.p4.copy()
    p4[0] = [0, 0, 0, np.nan]
    with uproot.recreate(tmp_path / "a.root") as file:
        file["tree"] = jetclass_branches(replace(toys, p4=p4))
    (jets,) = read_chunks(tmp_path / "a.root")
    assert jets.lengths.tolist() == toys.lengths.tolist()
