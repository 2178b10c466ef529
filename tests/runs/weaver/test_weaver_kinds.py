"""Groups of several kinds, their momenta, and what is compared with weaver-core's tensors."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

import parttag
from helpers.files import write_root
from helpers.weaver_files import group
from parttag.data.jet_files import JetFiles
from parttag.errors import InputError
from parttag.runs.weaver.check import compare

LENGTHS = {"pf": 40, "sv": 3}


def content_of(**changes) -> dict:
    content = {
        "treename": "Events",
        "selection": "((fj_pt > 300) &  # only these\n(np.abs(fj_eta) < 2))",
        "new_variables": {
            "pf_mask": "pf_pt_log != 0",
            "sv_mask": "ak.ones_like(sv_px)",
            "sv_p4": "_p4_from_pxpypze(sv_px, sv_py, sv_pz, sv_e)",
            "sv_pt_log": "np.log(np.hypot(sv_p4.px, sv_p4.py))",
            "sv_energy": "sv_p4.energy",
            "fj_weighted": "fj_mass * fj_jet_no",
        },
        "inputs": {
            "pf_points": group(["pf_etarel", "pf_phirel"], 40),
            "pf_features": group(
                [["pf_pt_log", 1.5, 0.5], ["pf_e_log", 2, 0.5], "pf_etarel", ["pf_dz", 0, 90]], 40
            ),
            "pf_mask": group(["pf_mask"], 40, "constant"),
            "sv_features": group([["sv_pt_log", 4, 0.6], ["sv_d3d", 0.3, 0.4, -1, 3]], 3),
            "sv_vectors": group(["sv_px", "sv_py", "sv_pz", "sv_energy"], 3),
            "sv_mask": group(["sv_mask"], 3, "constant"),
            "fj_features": {"length": None, "vars": [["fj_mass", 80, 0.01], "fj_jet_no"]},
        },
        "labels": {"type": "simple", "value": ["fj_isH", "fj_isQCD"]},
        "observers": ["fj_pt", "fj_eta", "fj_phi", "fj_mass"],
    }
    return {**content, **changes}


def write_jets(path: Path, number: int = 30) -> Path:
    rng = np.random.default_rng(11)
    length = 50  # slots, as of ntuples that fill the rest with zeros
    real = np.arange(length) < rng.integers(5, length, number)[:, None]
    is_top = rng.integers(0, 2, number)

    def slots(values):
        return np.where(real, values, 0).astype(np.float32)

    log_pt, eta = rng.normal(1.5, 1, real.shape), rng.normal(0, 0.2, real.shape)
    sv = rng.integers(0, 6, number)

    def lists(values):
        return ak.unflatten(values.astype(np.float32), sv)

    momentum = rng.normal(0, 20, (int(sv.sum()), 3))
    branches = {
        "fj_pt": rng.uniform(250, 600, number).astype(np.float32),
        "fj_eta": rng.uniform(-2.4, 2.4, number).astype(np.float32),
        "fj_phi": rng.uniform(-3, 3, number).astype(np.float32),
        "fj_mass": rng.uniform(20, 200, number).astype(np.float32),
        "fj_jet_no": rng.integers(0, 3, number).astype(np.int32),
        "fj_isH": is_top.astype(np.int32),
        "fj_isQCD": (1 - is_top).astype(np.int32),
        "pf_pt_log": slots(log_pt),
        "pf_e_log": slots(log_pt + 2.5),
        "pf_etarel": slots(eta),
        "pf_phirel": slots(rng.normal(0, 0.2, real.shape)),
        "pf_dz": slots(rng.normal(0, 0.05, real.shape)),
        "sv_px": lists(momentum[:, 0]),
        "sv_py": lists(momentum[:, 1]),
        "sv_pz": lists(momentum[:, 2]),
        "sv_e": lists(np.sqrt((momentum**2).sum(axis=1) + 4)),
        "sv_d3d": lists(rng.exponential(1, len(momentum))),
    }
    return write_root(path, branches, tree="Events")


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """What weaver-core makes of ``content_of()``, restated with NumPy."""
    with uproot.open(path) as file:
        rows = file["Events"].arrays()
    selected = (rows.fj_pt > 300) & (np.abs(rows.fj_eta) < 2)
    rows = rows[selected]

    def padded(values, length):
        filled = ak.fill_none(ak.pad_none(values, length, clip=True), 0)
        return ak.to_numpy(ak.values_astype(filled, np.float32))

    def clipped(values, centre, scale, low=-5, high=5):
        return np.clip((values - np.float32(centre)) * np.float32(scale), low, high)

    pf = [padded(rows[f"pf_{name}"], 40) for name in ("pt_log", "e_log", "etarel", "dz")]
    sv_pt = padded(np.log(np.hypot(rows.sv_px, rows.sv_py)), 3)
    sv_d3d = padded(rows.sv_d3d, 3)
    jet = [clipped(ak.to_numpy(rows.fj_mass), 80, 0.01), ak.to_numpy(rows.fj_jet_no)]
    features = [clipped(pf[0], 1.5, 0.5), clipped(pf[1], 2, 0.5), pf[2], clipped(pf[3], 0, 90)]
    return {
        "row": np.flatnonzero(ak.to_numpy(selected)),
        "label:_label_": ak.to_numpy(1 - rows.fj_isH),
        "input:pf_features": np.stack(features, axis=1),
        "input:pf_mask": (pf[0] != 0).astype(np.float32)[:, None],
        "input:sv_features": np.stack(
            [clipped(sv_pt, 4, 0.6), clipped(sv_d3d, 0.3, 0.4, -1, 3)], axis=1
        ),
        "input:sv_mask": padded(ak.ones_like(rows.sv_px), 3)[:, None],
        "input:fj_features": np.stack(jet, axis=1).astype(np.float32),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    write_jets(folder / "jets.root")
    (folder / "data.yaml").write_text(yaml.safe_dump(content_of(), sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def conversion(folder):
    return parttag.convert_weaver(folder / "data.yaml")


def files_of(conversion, path):
    data = conversion.config.data
    return JetFiles(path, data.columns, data.cuts, wanted=conversion.config.training_columns)


def test_groups_become_kinds_with_momenta_and_numbers_of_the_jet(conversion):
    content = yaml.safe_load(conversion.text)
    particles = content["data"]["columns"]["particles"]
    assert particles["pf"]["pt"] == "pf_pt_log" and particles["pf"]["mask"] == "pf_mask"
    assert particles["pf"]["relative_to_jet"] == {
        "pt": "log",
        "energy": "log",
        "eta": "difference",
        "phi": "difference",
        "eta_sign": True,
    }
    assert particles["pf"]["extra"] == {"pf_dz": "pf_dz"}
    assert particles["sv"]["energy"] == "sv_energy" and "mask" not in particles["sv"]
    derived = content["data"]["columns"]["derived"]
    assert derived["sv_energy"] == "sv_e" and "sv_p4" not in derived
    assert derived["selected"] == "(fj_pt > 300) & (np.abs(fj_eta) < 2)"
    assert content["data"]["columns"]["jet"]["mass"] == "fj_mass"
    assert [e["column"] for e in content["features"]["pf"][:2]] == ["log_pt", "log_energy"]
    assert content["features"]["pf"][2] == "delta_eta"
    assert content["features"]["sv"][0]["column"] == "log_pt"
    assert content["model"]["max_particles"] == LENGTHS
    assert [entry["column"] for entry in content["jet_features"]] == ["fj_mass", "fj_jet_no"]
    assert not conversion.missing


def test_what_a_network_reads_is_what_weavers_reads(conversion, folder):
    path = folder / "jets.root"
    found = compare(conversion, tensors_of(path), files_of(conversion, path))
    assert {one.what for one in found} == {
        *("pf.mask", "pf.log_pt", "pf.log_energy", "pf.delta_eta", "pf.pf_dz"),
        *("sv.mask", "sv.log_pt", "sv.sv_d3d", "jet_fj_mass", "jet_fj_jet_no", "labels"),
    }
    assert {one.what: one.difference for one in found if not one.agrees} == {}


@pytest.mark.parametrize("name", ["pf_features", "sv_features", "pf_mask", "fj_features"])
def test_what_differs_is_found(conversion, folder, name):
    path = folder / "jets.root"
    tensors = tensors_of(path)
    tensors[f"input:{name}"][2, 0, ...] += 0.01 if name != "pf_mask" else -1
    wrong = [x for x in compare(conversion, tensors, files_of(conversion, path)) if not x.agrees]
    assert wrong and all("jets.root, entry " in one.where for one in wrong)


def test_jets_that_only_one_side_selects_are_said(conversion, folder):
    path = folder / "jets.root"
    tensors = tensors_of(path)
    tensors["row"][-1] = 10_000
    with pytest.raises(InputError, match=r"weaver-core selects jets of .* that parttag leaves out"):
        compare(conversion, tensors, files_of(conversion, path))


def test_an_interpreter_without_weaver_core_is_said(conversion, folder, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'ModuleNotFoundError: no weaver' >&2\nexit 1\n")
    script.chmod(0o755)
    from parttag.api.convert import check_weaver

    files = [folder / "jets.root"]
    with pytest.raises(InputError, match=r"weaver-core cannot read .*ModuleNotFoundError"):
        check_weaver(conversion, folder / "data.yaml", files, script)
    with pytest.raises(InputError, match="cannot be run"):
        check_weaver(conversion, folder / "data.yaml", files, tmp_path / "none")


def test_kinds_without_momenta_have_no_pairs(tmp_path):
    content = content_of()
    for name in ("pf_points", "pf_mask", "sv_vectors"):
        del content["inputs"][name]
    content["inputs"]["pf_features"]["vars"] = ["pf_dz"]
    content["inputs"]["sv_features"]["vars"] = ["sv_d3d"]
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump(content))
    conversion = parttag.convert_weaver(path)
    assert conversion.config.model.model_dump()["pair_bias"] is False
    assert not conversion.missing


def test_measured_standardization_is_taken_over(folder, tmp_path):
    content = content_of(preprocess={"method": "auto"})
    content["inputs"]["pf_features"]["vars"] = ["pf_pt_log", "pf_dz"]
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    entries = yaml.safe_load(parttag.convert_weaver(path).text)["features"]["pf"]
    assert [entry["width"] for entry in entries] == ["wider_side"] * 2 and "scale" not in entries[0]

    saved = {"length": 40, "pad_mode": "wrap", "scale": 0.25, "min": -4, "max": 4, "pad_value": 0}
    content["preprocess"]["params"] = {
        name: {**saved, "center": 1.25 if name == "pf_dz" else None}
        for one in content["inputs"].values()
        for name in (v if isinstance(v, str) else v[0] for v in one["vars"])
    }
    path = tmp_path / "data.0.auto.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    entries = yaml.safe_load(parttag.convert_weaver(path).text)["features"]["pf"]
    assert entries[1]["centre"] == 1.25 and entries[1]["clip"] == [-4, 4]
    assert entries[0] == {"column": "log_pt", "centre": 0.0, "scale": 1.0, "clip": None}
