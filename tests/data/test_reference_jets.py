"""The public reference jets, where they are at hand."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.inspection.duplicates import SharedJets, num_repeated, shared_jets
from parttag.inspection.inspect import inspect_files
from parttag.jets.arrays import EXTRA_NAMES, concatenate
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.jets.validity import valid_jets

SHARED_DATA = os.environ.get("PARTTAG_SHARED_DATA")
pytestmark = pytest.mark.skipif(
    SHARED_DATA is None, reason="PARTTAG_SHARED_DATA does not say where the reference jets are"
)


@pytest.fixture(scope="module")
def data() -> Path:
    return Path(SHARED_DATA or "")


def test_kinematic_features_equal_those_of_the_stored_branches(data):
    path = data / "jetclass" / "jetclass_kin_500.root"
    (jets,) = read_chunks(path)
    features = particle_features(make_batch(jets), "kin").numpy()
    with uproot.open(path) as file:
        branches = file["tree"].arrays()
    expected = stored_kinematic_features(branches)
    np.testing.assert_allclose(features, expected, atol=1e-5, rtol=0)


def stored_kinematic_features(branches: ak.Array) -> np.ndarray:
    """Return the seven features as JetClass defines them, in double precision."""
    counts = ak.to_numpy(ak.num(branches.part_px))

    def particle(name: str) -> np.ndarray:
        return ak.to_numpy(ak.flatten(branches[f"part_{name}"])).astype(np.float64)

    def jet(name: str) -> np.ndarray:
        return np.repeat(ak.to_numpy(branches[f"jet_{name}"]).astype(np.float64), counts)

    pt, energy = np.hypot(particle("px"), particle("py")), particle("energy")
    standardized = np.stack(
        [
            (np.log(pt) - 1.7) * 0.7,
            (np.log(energy) - 2.0) * 0.7,
            (np.log(pt / jet("pt")) + 4.7) * 0.7,
            (np.log(energy / jet("energy")) + 4.7) * 0.7,
            (np.hypot(particle("deta"), particle("dphi")) - 0.2) * 4,
        ],
        axis=1,
    )
    angles = np.stack([particle("deta"), particle("dphi")], axis=1)
    return np.concatenate([standardized.clip(-5, 5), angles], axis=1)


def test_top_tagging_jets_are_all_good_and_labeled(data):
    jets = concatenate(list(read_chunks(data / "toptagging" / "val.h5")))
    assert len(jets) == 10_000
    assert valid_jets(jets).all()
    assert (jets.labels.sum(axis=1) == 1).all()
    assert jets.labels[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    pt = np.hypot(jets.jet_p4[:, 0], jets.jet_p4[:, 1])
    assert pt.min() > 540
    assert pt.max() < 660


@pytest.mark.parametrize(
    ("name", "num_jets"),
    [
        ("toptagging/train.h5", 80_000),
        ("toptagging/val.h5", 10_000),
        ("toptagging/test.h5", 10_000),
        ("jetclass/jetclass_kin_500.root", 500),
        ("jetclass/JetClassII_example.parquet", 100),
    ],
)
def test_every_sample_is_read(data, name, num_jets):
    path = data / name
    assert count_jets(path) == num_jets
    jets = next(iter(read_chunks(path, chunk_jets=2_000)))
    assert len(jets) == min(num_jets, 2_000)
    assert valid_jets(jets).all()


def test_the_numbered_labels_of_jetclass_ii_are_named_in_yaml(data):
    path = data / "jetclass" / "JetClassII_example.parquet"
    labels = {"branch": "jet_label", "values": {"label_QCD": tuple(range(161, 188))}}
    layout = ColumnLayout(ColumnsOptions(labels=labels))
    (jets,) = read_chunks(path, layout=layout)
    (own,) = read_chunks(path)
    np.testing.assert_array_equal(jets.p4, own.p4)
    np.testing.assert_array_equal(jets.jet_axis, own.jet_axis)
    numbers = read_branches(path, ["jet_label"], layout)["jet_label"].to_numpy()
    np.testing.assert_array_equal(jets.labels[:, 0], (numbers >= 161) & (numbers <= 187))
    assert 0 < jets.labels.sum() < 100
    kept = read_branches(path, ["jet_sdmass", "jet_tau1"], layout)
    assert len(kept["jet_tau1"]) == 100


def test_jetclass_ii_is_read_with_all_its_columns(data):
    (jets,) = read_chunks(data / "jetclass" / "JetClassII_example.parquet")
    assert len(jets) == 100
    assert jets.extra_names == EXTRA_NAMES
    assert jets.label_names == ()
    assert valid_jets(jets).all()
    assert np.isin(jets.extra[:, 0], [-1, 0, 1]).all()


def test_validation_and_test_jets_of_top_tagging_share_nine(data):
    files = [data / "toptagging" / name for name in ("val.h5", "test.h5")]
    inputs = inspect_files(files).fingerprints
    assert [num_repeated(jets) for jets in inputs.values()] == [0, 1]
    shared = shared_jets({path.stem: jets for path, jets in inputs.items()})
    assert shared == [SharedJets("val", "test", 9, 10_000), SharedJets("test", "val", 9, 10_000)]
