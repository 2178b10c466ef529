"""A file that nobody described: what is in it, and YAML that reads it."""

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.mapped import columns, read
from parttag.api.inspection import undescribed
from parttag.cli import app
from parttag.inspection.contents import contents
from parttag.inspection.describe import describe_unknown
from parttag.testing import toy_jets

P4 = np.random.default_rng(0).uniform(1, 2, (6, 3))
NAMES = ("pt", "eta", "phi", "energy")
ARRAYS = {f"pfcand_{n}": P4 * (10 if n == "energy" else 1) for n in NAMES}
ARRAYS |= {f"fj_{n}": np.full(6, 1.5) for n in ("pt", "eta", "phi", "mass")}
ARRAYS |= {f"gen_{n}": P4 for n in NAMES} | {"label_top": np.arange(6) % 2}


def root(path):
    with uproot.recreate(path) as file:
        file["dir/Events"] = {n: ak.from_regular(ak.Array(v), axis=None) for n, v in ARRAYS.items()}
        file["Runs"] = {"run": np.arange(2)}
    return path


def hdf5(path):
    with h5py.File(path, "w") as file:
        for name, values in ARRAYS.items():
            file[name] = values
        file.create_dataset("names", data=["a", "b"], dtype=h5py.string_dtype())
    return path


def npz(path):
    with path.open("wb") as file:
        np.savez(file, **ARRAYS)
    return path


def parquet(path):
    ak.to_parquet(ak.Array({n: v.tolist() for n, v in ARRAYS.items()}), path)
    return path


WRITERS = {f.__name__: f for f in (root, hdf5, npz, parquet)}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_suggested_columns_read_the_file(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"a.{kind}")
    found = describe_unknown(path)
    jets = read(path, yaml.dump(yaml.safe_load(found.columns)["columns"]))
    assert jets.lengths.tolist() == [3] * 6
    order = np.argsort(-P4, axis=1)
    pt = np.take_along_axis(P4, order, axis=1).ravel()
    np.testing.assert_allclose(np.hypot(jets.p4[:, 0], jets.p4[:, 1]), pt, rtol=1e-6)
    np.testing.assert_allclose(jets.jet_axis, 1.5, rtol=1e-6)
    names = {branch.name for table in found.tables for branch in table.branches}
    assert set(ARRAYS) <= names
    axes = {branch.name: branch.axes for table in found.tables for branch in table.branches}
    assert (axes["pfcand_pt"], axes["fj_pt"]) == (2, 1)
    assert "label_top" in found.columns


def test_layouts_of_which_every_branch_is_there_are_named(tmp_path):
    path = root(tmp_path / "a.root")
    own = "particles: {pt: pfcand_pt, eta: pfcand_eta, phi: pfcand_phi, mass: 0}"
    layouts = {"mine": columns(own), "other": columns(own.replace("pfcand_pt", "part_pt"))}
    assert describe_unknown(path, layouts).layouts == ("mine",)


def test_arrays_of_three_axes_are_shown_with_a_slice(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.ones((4, 3, 5), ">f2")
    found = describe_unknown(tmp_path / "a.h5")
    assert found.tables[0].branches[0].kind == ">f2 (4, 3, 5)"
    said = yaml.safe_load(found.columns)["columns"]["particles"]
    assert said["pt"] == "data[:, :, 0]"
    assert len(read(tmp_path / "a.h5", yaml.dump({"particles": said}))) == 4


@pytest.mark.parametrize("kind", WRITERS)
def test_the_command_ends_with_yaml_and_without_an_error(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"a.{kind}")
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert result.exit_code == 0, result.output
    assert "pfcand_pt: " in result.output
    text = result.output[result.output.index("\ncolumns:\n") + 1 :]
    (tmp_path / "columns.yaml").write_text(text)
    again = CliRunner().invoke(
        app, ["inspect", str(path), "--columns", str(tmp_path / "columns.yaml")]
    )
    assert again.exit_code == 0, again.output
    assert "jets" in again.output


def test_files_of_known_layouts_and_damaged_ones_are_not_described(tmp_path):
    toys = toy_jets(4)
    assert describe_unknown(write_jetclass_root(tmp_path / "a.root", toys)) is None
    assert describe_unknown(write_toptagging_h5(tmp_path / "a.h5", toys)) is None
    lacking = write_jetclass_root(tmp_path / "b.root", toys, without=["part_energy"])
    assert describe_unknown(lacking) is None
    (tmp_path / "c.root").write_bytes((tmp_path / "a.root").read_bytes()[:90])
    assert describe_unknown(tmp_path / "c.root") is None
    assert CliRunner().invoke(app, ["inspect", str(lacking)]).exit_code != 0


def test_names_from_files_are_not_sent_to_the_terminal_as_they_are(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["bad\x1b[31m[red]"] = np.ones(3)
    (branch,) = contents(tmp_path / "a.h5")[0].branches
    assert "\x1b" in branch.name
    output = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.h5")]).output
    assert "\x1b[31m" not in output
    assert "[red]" in output


def test_the_layout_that_ships_with_parttag_is_named(tmp_path):
    per_jet, per_particle = [np.ones(2, np.float32)] * 3, [np.ones(5, np.float32)] * 3
    branches = {f"FatJet_{name}": per_jet for name in ("pt", "eta", "phi", "mass")}
    branches |= {f"PFCands_{name}": per_particle for name in ("pt", "eta", "phi", "mass")}
    branches |= {f"PFCands_{name}": per_particle for name in ("puppiWeight", "charge", "pdgId")}
    pairs = ("jetIdx", "pFCandsIdx")
    branches |= {f"FatJetPFCands_{name}": [np.zeros(5, np.int32)] * 3 for name in pairs}
    with uproot.recreate(tmp_path / "a.root") as file:
        file["Events"] = {name: ak.Array(values) for name, values in branches.items()}
    branches |= {f"Jet_{name}": per_jet for name in ("pt", "eta", "phi", "mass")}
    branches |= {f"JetPFCands_{name}": [np.zeros(5, np.int32)] * 3 for name in pairs}
    with uproot.recreate(tmp_path / "b.root") as file:
        file["Events"] = {name: ak.Array(values) for name, values in branches.items()}
    assert undescribed(tmp_path / "a.root").layouts == ("pfnano_fatjet",)
    assert undescribed(tmp_path / "b.root").layouts == ("pfnano_fatjet", "pfnano_jet")
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "b.root")])
    assert "pfnano_fatjet, which says most of it, and those of pfnano_jet:" in shown.stdout
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.root")])
    assert "columns: {layout: pfnano_fatjet}" in shown.stdout


def test_of_several_layouts_that_fit_the_one_that_says_most_comes_first(tmp_path):
    path = root(tmp_path / "a.root")
    few = "particles: {pt: pfcand_pt, eta: pfcand_eta, phi: pfcand_phi, mass: 0}"
    layouts = {
        "a_few": columns(few),
        "more": columns(few.replace("mass: 0", "energy: pfcand_energy")),
    }
    assert describe_unknown(path, layouts).layouts == ("more", "a_few")
