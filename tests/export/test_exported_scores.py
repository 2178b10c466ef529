"""What exported models give in ONNX Runtime, fed by a reader that knows docs/how_to/export.md."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from helpers.preprocessing import make_inputs
from helpers.untrained import small_config, small_run, write_run
from parttag.errors import InputError
from parttag.jets.columns import pack_columns
from parttag.models.ensemble import Ensemble
from parttag.models.scaling import LogitScaling, scale_logits
from parttag.testing import toy_jets

NETWORKS = [
    "particle_transformer",
    "plain_transformer",
    "particle_net",
    "pfn",
    "pcnn",
    "lorentz_net",
]
FEATURES = {
    "full": {"features": "full"},
    # Columns of the files, a transform, and jet features at both places.
    "columns": {
        "features": [
            "kin",
            {"column": "d0", "centre": 0.0, "scale": 1.5},
            {"column": "ip3d", "transform": "asinh", "centre": 0.1, "scale": 2.0, "missing": 0.5},
            {"column": "delta_r", "transform": "log1p", "centre": 0.0, "scale": 1.0, "clip": None},
        ],
        "jet_features": [
            {"column": "log_energy", "centre": 6.0, "scale": 0.5},
            {
                "column": "tau21",
                "transform": "log",
                "centre": -1.0,
                "scale": 1.0,
                "missing": None,
                "infinite": "clip",
            },
        ],
    },
}
LENGTHS = [1, 2, 3, 5, 9, 17, 30, 40, 1, 16]


def jets_with_columns():
    jets = toy_jets(lengths=LENGTHS, seed=11)
    rng = np.random.default_rng(0)
    ip3d = rng.normal(size=len(jets.p4)).astype(np.float32)
    ip3d[::7] = np.nan
    tau21 = rng.uniform(0, 1, len(jets)).astype(np.float32)
    tau21[3] = 0.0
    jets.extra[::5, jets.extra_names.index("d0")] = np.nan
    columns, types = pack_columns({"ip3d": ip3d}, len(ip3d))
    jet_columns, jet_types = pack_columns({"tau21": tau21}, len(jets))
    return replace(
        jets,
        columns=columns,
        column_types=types,
        jet_columns=jet_columns,
        jet_column_types=jet_types,
    ), {"ip3d": ip3d, "tau21": tau21}


@pytest.fixture(scope="module")
def jets():
    return jets_with_columns()


def made_mass(p4):
    px, py, pz, energy = p4.astype(np.float64)
    return np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0))


def as_read(jets, others):
    """Return (particles, jet) of every jet, as a program without parttag has them."""
    found = []
    for number, (start, stop) in enumerate(zip(jets.offsets[:-1], jets.offsets[1:], strict=True)):
        px, py, pz, energy = jets.p4[start:stop].astype(np.float64).T
        particles = {
            **dict(zip(jets.extra_names, jets.extra[start:stop].T, strict=True)),
            "px": px,
            "py": py,
            "pz": pz,
            "energy": energy,
            "ip3d": others["ip3d"][start:stop],
        }
        jx, jy, _, jet_energy = jets.jet_p4[number].astype(np.float64)
        eta, phi = jets.jet_axis[number]
        jet = {
            "pt": np.hypot(jx, jy),
            "eta": eta,
            "phi": phi,
            "energy": jet_energy,
            "mass": made_mass(jets.jet_p4[number]),
            "tau21": others["tau21"][number],
        }
        found.append((particles, jet))
    return found


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = {}

    def run_of(network, features):
        key = f"{network}-{features}"
        sections = {} if network == "lorentz_net" else FEATURES[features]
        if key not in made:
            made[key] = small_run(network, folder / key, **sections)
        return made[key]

    return run_of


@pytest.mark.parametrize("inputs", ["prepared", "raw"])
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("network", NETWORKS)
def test_scores_are_those_of_predict(network, features, inputs, runs, jets, tmp_path):
    if network == "lorentz_net" and features == "columns":
        pytest.skip("LorentzNet reads four-momenta alone")
    run = runs(network, features)
    report = run.export(tmp_path / "model.onnx", inputs=inputs)
    assert report.differences.num_jets + report.differences.num_ties == 4 * (1 + 2 + 7 + 64)
    assert report.differences.largest < 1e-5
    preprocess = json.loads((tmp_path / "preprocess.json").read_text())
    assert preprocess["output_names"] == ["label_top", "label_QCD"]
    found = session(tmp_path / "model.onnx")
    assert [i.name for i in found.get_inputs()] == preprocess["input_names"]
    made, others = jets
    (scores,) = found.run(None, make_inputs(preprocess, as_read(made, others)))
    expected = run.predict(made).columns()
    assert np.ptp(scores[:, 0]) > 1e-3  # the jets differ: an agreement says something
    for number, name in enumerate(run.classes):
        np.testing.assert_allclose(scores[:, number], expected[f"score_{name}"], rtol=0, atol=1e-5)


def test_jet_features_beside_every_particle(tmp_path, jets):
    run = small_run(
        "pfn",
        tmp_path / "run",
        features="kin",
        jet_features={
            "to": "particles",
            "names": [
                {"column": "log_mass", "centre": 4.0, "scale": 0.5},
                *FEATURES["columns"]["jet_features"],
            ],
        },
    )
    made, others = jets
    long = made.lengths >= 5  # the mass of a massless jet is rounding
    expected = run.predict(made).columns()["score_top"]
    for inputs in ("prepared", "raw"):
        path = tmp_path / inputs / "model.onnx"
        run.export(path, inputs=inputs)
        preprocess = json.loads((path.parent / "preprocess.json").read_text())
        feeds = make_inputs(preprocess, as_read(made, others))
        if inputs == "prepared":  # the jet's value stands in every real slot
            real = feeds["pf_mask"]
            feeds["pf_features"] = np.where(real > 0, feeds["pf_features"], 0)
            for channel, name in enumerate(preprocess["pf_features"]["var_names"]):
                if name.startswith("jet_"):
                    first = feeds["pf_features"][:, channel : channel + 1, :1]
                    feeds["pf_features"][:, channel : channel + 1] = first * real
        (scores,) = session(path).run(None, feeds)
        np.testing.assert_allclose(scores[long, 0], expected[long], rtol=0, atol=1e-5)


def test_logits_and_embedding(runs, jets, tmp_path):
    run = runs("particle_transformer", "full")
    made, others = jets
    scores = run.predict(made)
    found = {}
    for output in ("logits", "embedding"):
        run.export(tmp_path / output / "model.onnx", output=output)
        preprocess = json.loads((tmp_path / output / "preprocess.json").read_text())
        feeds = make_inputs(preprocess, as_read(made, others))
        (found[output],) = session(tmp_path / output / "model.onnx").run([output], feeds)
    np.testing.assert_allclose(found["logits"], scores.logits, rtol=0, atol=1e-4)
    weight, bias = (p.detach().numpy() for p in run.model.head.parameters())
    np.testing.assert_allclose(found["embedding"] @ weight.T + bias, scores.logits, atol=1e-4)


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_attention_is_one_node_or_nodes_of_onnx_alone(runs, tmp_path):
    run = runs("particle_transformer", "full")
    run.export(tmp_path / "fused" / "model.onnx")
    run.export(tmp_path / "plain" / "model.onnx", attention="plain")
    fused, plain = (onnx.load(tmp_path / name / "model.onnx") for name in ("fused", "plain"))
    blocks = len(run.model.backbone.blocks) + len(run.model.backbone.class_blocks)
    nodes = [node for node in fused.graph.node if node.domain == "com.microsoft"]
    assert [node.op_type for node in nodes] == ["MultiHeadAttention"] * blocks
    assert {node.domain for node in plain.graph.node} == {""}
    assert [(o.domain, o.version) for o in plain.opset_import] == [("", 17)]


def test_metadata_say_where_a_model_comes_from(runs, tmp_path):
    run = runs("pfn", "full")
    run.export(tmp_path / "model.onnx")
    found = session(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(found["classes"]) == ["top", "QCD"]
    assert found["run"] == run.directory.name
    assert found["network"] == "pfn"
    assert len(found["checkpoint_sha256"]) == len(found["config_sha256"]) == 64
    assert json.loads(found["parttag"])["variables"]["pf_features"]["part_d0"] == {
        "feature": "tanh_d0",
        "column": "d0",
        "transform": "tanh",
        "missing": 0.0,
    }


@pytest.mark.parametrize("network", ["particle_transformer", "particle_net"])
@pytest.mark.parametrize(("precision", "kind"), [("fp16", "float16"), ("int8", "int8")])
def test_less_precision_is_stated_and_limited(precision, kind, network, runs, tmp_path):
    report = runs(network, "full").export(tmp_path / "model.onnx", precision=precision)
    assert 1e-5 < report.differences.largest < (0.02 if precision == "fp16" else 0.2)
    assert 0 < report.differences.median < report.differences.largest
    weights = onnx.load(tmp_path / "model.onnx").graph.initializer
    large = [onnx.numpy_helper.to_array(w) for w in weights]
    shares = [w.size for w in large if w.ndim == 2 and w.dtype == kind]
    assert sum(shares) > 0.9 * sum(w.size for w in large if w.ndim == 2)
    assert found_metadata(tmp_path / "model.onnx")["precision"] == precision


def found_metadata(path):
    return session(path).get_modelmeta().custom_metadata_map


def test_a_calibration_and_an_ensemble_are_in_the_model(jets, tmp_path):
    runs = [
        write_run(small_config("pfn", features="kin"), tmp_path / f"run_{seed}", seed)
        for seed in range(2)
    ]
    scale_logits(runs[1].model, LogitScaling(1.7, (0.2, -0.1)))
    together = replace(runs[0], model=Ensemble([run.model for run in runs]).eval())
    scale_logits(together.model, LogitScaling(0.8, (0.0, 0.3)))
    made, others = jets
    for number, run in enumerate((runs[1], together)):
        path = tmp_path / str(number) / "model.onnx"
        run.export(path)
        preprocess = json.loads((path.parent / "preprocess.json").read_text())
        (scores,) = session(path).run(None, make_inputs(preprocess, as_read(made, others)))
        expected = run.predict(made).columns()["score_top"]
        np.testing.assert_allclose(scores[:, 0], expected, rtol=0, atol=1e-5)


def test_members_that_read_other_features_are_not_one_model(tmp_path):
    runs = [
        small_run("pfn", tmp_path / features, features=features) for features in ("kin", "full")
    ]
    together = replace(runs[0], model=Ensemble([run.model for run in runs]).eval())
    with pytest.raises(InputError, match="members of this ensemble read different features"):
        together.export(tmp_path / "model.onnx")
