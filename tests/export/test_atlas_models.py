"""Models in the convention of ATLAS: inputs, outputs and shapes as Athena reads salt's."""

import json

import numpy as np
import onnxruntime
import pytest

from helpers.untrained import small_run
from parttag.jets.batch import make_batch
from parttag.jets.features import FeatureContext
from parttag.testing import toy_jets


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    run = small_run(
        "particle_transformer",
        folder / "GN-2",
        features="kin",
        jet_features=[{"column": "log_pt", "centre": 6.0, "scale": 2.0}],
    )
    report = run.export(
        folder / "model.onnx", convention="atlas", names={"log_pt": "logPt", "jet_log_pt": "jetPt"}
    )
    assert report.preprocess is None
    return run, onnxruntime.InferenceSession(folder / "model.onnx")


def test_names_and_shapes(exported):
    _, session = exported
    assert {i.name: i.shape for i in session.get_inputs()} == {
        "track_features": ["n_tracks", 11],
        "jet_features": [1, 1],
    }
    assert {o.name: o.shape for o in session.get_outputs()} == {"GN2_ptop": [], "GN2_pQCD": []}


def test_metadata_name_the_variables_in_order(exported):
    _, session = exported
    config = json.loads(session.get_modelmeta().custom_metadata_map["gnn_config"])
    assert config["output_names"] == ["GN2_ptop", "GN2_pQCD"]
    assert config["model_name"] == "GN2"
    (tracks,), (jet,) = config["input_sequences"], config["inputs"]
    names = [variable["name"] for variable in tracks["variables"]]
    assert names[0] == "logPt"
    assert names[-4:] == ["part_px", "part_py", "part_pz", "part_energy"]
    assert len(names) == 11
    assert jet["variables"] == [{"name": "jetPt", "offset": 0.0, "scale": 1.0}]


def test_scores_of_single_jets_from_values_that_are_not_standardized(exported):
    run, session = exported
    jets = toy_jets(lengths=[1, 2, 17, 40], seed=4)
    scores = run.predict(jets).columns()
    for number in range(len(jets)):
        batch = make_batch(jets.take(np.array([number])))
        particles = FeatureContext(batch)
        kin = [
            particles.pt.log(),
            particles.energy.log(),
            particles.pt.log() - np.log(jets.pt[number]),
            particles.energy.log() - np.log(float(jets.jet_p4[number, 3])),
            (particles.delta_eta**2 + particles.delta_phi**2).sqrt(),
            particles.delta_eta,
            particles.delta_phi,
        ]
        tracks = np.column_stack([*kin, batch.p4]).astype(np.float32)
        jet = np.log(jets.pt[[number]])[:, None].astype(np.float32)
        top, qcd = session.run(None, {"track_features": tracks, "jet_features": jet})
        assert top == pytest.approx(scores["score_top"][number], abs=1e-5)
        assert qcd == pytest.approx(1 - top, abs=1e-5)


def test_a_jet_without_tracks_has_finite_scores(exported):
    _, session = exported
    none = {
        "track_features": np.zeros((0, 11), np.float32),
        "jet_features": np.zeros((1, 1), np.float32),
    }
    assert np.isfinite(session.run(None, none)).all()
