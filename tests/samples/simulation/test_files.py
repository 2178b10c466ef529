import errno
import json

import numpy as np
import pytest
import uproot

from helpers.particles import jets, p4
from parttag.data.writers.jetclass import LabeledJets, read_provenance, write_jets
from parttag.errors import InputError


@pytest.fixture
def sample():
    forward = p4([400.0, 200.0], [1.2, 0.8], [3.1, -3.1])
    backward = p4([600.0, 30.0, 5.0], [-1.0, -1.2, -0.7], [0.0, 0.2, -0.3])
    top = np.array([True, False])
    return LabeledJets(jets(forward, backward), {"label_top": top, "label_QCD": ~top})


@pytest.fixture
def written(tmp_path, sample):
    path = tmp_path / "train" / "jets.root"
    write_jets(path, sample, {"seed": 3})
    return path


def test_the_file_is_a_ttree_in_jetclass_layout(written):
    with uproot.open(written) as file:
        assert file.classnames()["tree;1"] == "TTree"
        tree = file["tree"].arrays()
    floats = {f"part_{name}" for name in ("px", "py", "pz", "energy", "deta", "dphi")}
    floats |= {"jet_pt", "jet_eta", "jet_phi", "jet_energy"}
    assert floats <= set(tree.fields)
    assert tree.jet_nparticles.tolist() == [2, 3]
    assert tree.label_top.tolist() == [True, False]
    assert tree.label_QCD.tolist() == [False, True]


def test_momenta_come_back_as_they_were(written, sample):
    with uproot.open(written) as file:
        tree = file["tree"].arrays()
    for branch, column in zip(("px", "py", "pz", "energy"), sample.jets.particles.T, strict=True):
        assert np.concatenate(tree[f"part_{branch}"].tolist()) == pytest.approx(column, rel=1e-6)
    assert tree.jet_energy.to_numpy() == pytest.approx(sample.jets.p4[:, 3], rel=1e-6)


def test_angles_are_relative_to_the_jet_and_carry_the_sign_of_its_eta(written):
    with uproot.open(written) as file:
        tree = file["tree"].arrays()
    for jet, sign, eta, phi in (
        (0, 1, [1.2, 0.8], [3.1, -3.1]),
        (1, -1, [-1.0, -1.2, -0.7], [0.0, 0.2, -0.3]),
    ):
        expected = (np.array(eta) - tree.jet_eta[jet]) * sign
        assert tree.part_deta[jet].to_numpy() == pytest.approx(expected, abs=1e-6)
        turn = np.array(phi) - tree.jet_phi[jet] - tree.part_dphi[jet].to_numpy()
        assert np.cos(turn) == pytest.approx(1.0)
        assert np.abs(tree.part_dphi[jet].to_numpy()).max() < 1


def test_provenance_comes_back(written):
    assert read_provenance(written) == {"seed": 3}


def test_the_hash_is_that_of_the_jets(sample):
    again = LabeledJets(sample.jets, dict(sample.labels))
    swapped = LabeledJets(sample.jets, {"label_top": ~sample.labels["label_top"]})
    assert sample.sha256() == again.sha256()
    assert sample.sha256() != swapped.sha256()


def test_nothing_is_left_beside_the_file(written):
    assert [path.name for path in written.parent.iterdir()] == ["jets.root"]


def test_a_full_disk_leaves_no_file_and_is_one_sentence(tmp_path, sample, monkeypatch):
    def full(file, *args, **kwargs):
        file.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uproot, "recreate", full)
    with pytest.raises(
        InputError, match=r"jets.root cannot be written \(no space left on device\)"
    ):
        write_jets(tmp_path / "jets.root", sample, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "text", "no provenance"])
def test_a_damaged_file_is_named(written, damage):
    if damage == "cut":
        written.write_bytes(written.read_bytes()[:500])
    elif damage == "text":
        written.write_text(json.dumps({}))
    else:
        with uproot.recreate(written) as file:
            file["other"] = "text"
    with pytest.raises(InputError, match=r"jets.root is no file of simulated jets, or is damaged"):
        read_provenance(written)
