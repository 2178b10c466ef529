"""Layouts by name: ``columns: {layout: jetnet}``, on small files that the tests make."""

import h5py
import numpy as np
import pytest

from parttag.data.readers import read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.named_layouts import named_layouts
from parttag.errors import InputError
from parttag.jets.arrays import concatenate
from parttag.options import read_options

# Two jets in arrays of slots: an array for each group of columns, as the sets have them.
PX, PY, PZ, ENERGY = np.moveaxis(
    np.array([[[3, 4, 0, 13], [6, 8, 5, 15]], [[30, 40, 0, 51], [0, 0, 0, 0]]], float), 2, 0
)
P4 = np.stack([PX, PY, PZ, ENERGY], axis=2)
TRUTH = np.array([1, 0])
PT, PHI = np.hypot(PX, PY), np.full((2, 2), 0.927295218)
ETA = np.arcsinh(PZ / np.maximum(PT, 1))
SQUARE = {
    "pelican": {"Pmu": np.roll(P4, 1, axis=2), "Nobj": np.array([2, 1]), "is_signal": TRUTH},
    "hls4ml": {"jetConstituentList": P4},
    "aspen": {
        "PFCands": np.concatenate([P4, np.zeros((2, 2, 4)), np.full((2, 2, 1), 211)], axis=2),
        "jet_kinematics": np.array([[15, 0.3, 0.9, 23], [50, 0, 0.9, 10]], float),
    },
    "atlas_toptag": {
        "fjet_clus_pt": 1e3 * PT,
        "fjet_clus_eta": ETA,
        "fjet_clus_phi": PHI * (PT > 0),
        "fjet_clus_E": 1e3 * ENERGY,
        **{f"fjet_{name}": np.array([1e3, 2e3]) for name in ("pt", "m")},
        **{f"fjet_{name}": np.array([0.1, 0.2]) for name in ("eta", "phi")},
        "labels": TRUTH,
        "training_weights": np.array([2.0, 3.0]),
    },
}


def read(path, **columns):
    layout = ColumnLayout(read_options(ColumnsOptions, columns))
    return concatenate(list(read_chunks(path, layout=layout)))


@pytest.fixture
def write(tmp_path):
    def file(name):
        with h5py.File(tmp_path / f"{name}.h5", "w") as target:
            for key, values in SQUARE[name].items():
                target[key] = values
        return tmp_path / f"{name}.h5"

    return file


@pytest.mark.parametrize("name", SQUARE)
def test_one_line_reads_a_file(write, name):
    jets = read(write(name), layout=name)
    assert jets.lengths.tolist() == [2, 1]
    hardest_first = [[6, 8, 5, 15], [3, 4, 0, 13], [30, 40, 0, 51]]
    np.testing.assert_allclose(jets.p4, hardest_first, rtol=1e-5, atol=1e-4)
    if jets.label_names:
        assert jets.labels[:, jets.label_names.index("label_top")].tolist() == [1, 0]


def test_what_is_said_beside_the_name_wins(write):
    jets = read(write("pelican"), layout="pelican", particles={"unit": "MeV"})
    assert jets.p4[0].tolist() == pytest.approx([0.006, 0.008, 0.005, 0.015])
    assert jets.label_names == ("label_top", "label_QCD")
    labels = {"branch": "is_signal", "values": {"label_S": 1, "label_B": 0}}
    assert read(write("pelican"), layout="pelican", labels=labels).label_names == (
        "label_S",
        "label_B",
    )
    without = read(write("pelican"), layout="pelican", labels=None, particles={"count": None})
    assert (without.label_names, without.lengths.tolist()) == ((), [2, 1])


def test_what_comes_of_a_name_is_what_is_kept():
    columns = read_options(ColumnsOptions, {"layout": "hls4ml"})
    kept = columns.model_dump(mode="json")
    assert kept["layout"] is None
    assert kept["particles"]["px"] == "jetConstituentList[:, :, 0]"
    assert read_options(ColumnsOptions, kept) == columns


def test_a_name_that_is_unknown_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="there is no layout jetnot; known are aspen, atlas_topt"):
        read_options(ColumnsOptions, {"layout": "jetnot"})


def test_a_file_that_does_not_fit_is_refused_with_the_branch_that_is_missing(write):
    with pytest.raises(InputError, match="has no branch Pmu"):
        read(write("hls4ml"), layout="pelican")


@pytest.mark.parametrize("name", named_layouts())
def test_each_is_as_it_is_printed_and_has_a_line_that_says_what_it_is(name):
    layout = named_layouts()[name]
    assert "https://" in layout.description
    assert read_options(ColumnsOptions, {"layout": name}) == read_options(
        ColumnsOptions, layout.content
    )
