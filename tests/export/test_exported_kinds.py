"""Models of particles of several kinds: each has inputs of its own."""

import json

import numpy as np
import onnxruntime
import pytest

from helpers.kinds import kind_jets
from helpers.preprocessing import make_inputs
from helpers.untrained import small_run

LENGTHS = {
    "charged": [5, 1, 0, 12, 3, 0],
    "neutral": [2, 0, 1, 7, 4, 3],
    "vertices": [1, 0, 0, 3, 0, 1],
}
FEATURES = {
    "charged": ["kin", "charge", {"column": "ip3d", "centre": 0.2, "scale": 0.7}],
    "neutral": ["kin", {"column": "puppi", "transform": "sqrt", "centre": 0.5, "scale": 2.0}],
    "vertices": ["log_pt_rel", "delta_eta", {"column": "d3d", "centre": 1.0, "scale": 0.3}],
}


def of_kind(jets, kind, number):
    """Return particles and jet of a jet, of one kind, as a program without parttag has them."""
    start, stop = jets.offsets[number], jets.offsets[number + 1]
    names = [name for name, _ in jets.kinds]
    rows = start + np.flatnonzero(jets["kind"][start:stop] == names.index(kind))
    px, py, pz, energy = jets.p4[rows].astype(np.float64).T
    columns = {name: jets[name][rows] for name in ("charge", "ip3d", "puppi", "d3d")}
    particles = {"px": px, "py": py, "pz": pz, "energy": energy, **columns}
    jx, jy, _, jet_energy = jets.jet_p4[number].astype(np.float64)
    eta, phi = jets.jet_axis[number]
    return particles, {"pt": np.hypot(jx, jy), "eta": eta, "phi": phi, "energy": jet_energy}


def feeds_of(preprocess, jets):
    feeds = {}
    for name in preprocess["input_names"]:
        kind = name.partition("_")[0]
        known = kind if kind in FEATURES else "charged"
        one = {**preprocess, "input_names": [name]}
        feeds |= make_inputs(one, [of_kind(jets, known, n) for n in range(len(jets))])
    return feeds


@pytest.mark.parametrize("inputs", ["prepared", "raw"])
@pytest.mark.parametrize("network", ["particle_transformer", "particle_net", "pfn"])
def test_scores_are_those_of_predict(network, inputs, tmp_path):
    most = {"charged": 10, "neutral": 6, "vertices": 2}
    run = small_run(network, tmp_path / "run", features=FEATURES, model={"max_particles": most})
    run.export(tmp_path / "model.onnx", inputs=inputs)
    preprocess = json.loads((tmp_path / "preprocess.json").read_text())
    part = "columns" if inputs == "raw" else "features"
    assert {f"{kind}_{part}" for kind in FEATURES} <= set(preprocess["input_names"])
    for kind, number in most.items():
        assert preprocess[f"{kind}_mask"]["max_length"] == number
    jets = kind_jets(LENGTHS)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (scores,) = session.run(None, feeds_of(preprocess, jets))
    assert np.ptp(scores[:, 0]) > 1e-3
    expected = run.predict(jets).columns()["score_top"]
    np.testing.assert_allclose(scores[:, 0], expected, rtol=0, atol=1e-5)


def test_athena_has_an_input_for_each_kind(tmp_path):
    run = small_run("particle_transformer", tmp_path / "run", features=FEATURES)
    run.export(tmp_path / "model.onnx", convention="atlas")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [i.name for i in session.get_inputs()]
    assert names == ["charged_features", "neutral_features", "vertice_features"]
