"""Data configurations of weaver-core, written here from the format's meaning, to parttag's."""

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import yaml

import parttag
from helpers.files import write_jetclass_root
from helpers.weaver_files import group, write_weaver_file
from parttag import cli
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.runs.config import load_config
from parttag.testing import toy_jets

VARIABLES = {
    "part_mask": "ak.ones_like(part_energy)",
    "part_pt": "np.sqrt(part_px**2 + part_py**2)",
    "part_pt_log": "np.log(part_pt)",
    "part_e_log": "np.log(part_energy)",
    "part_logptrel": "np.log(part_pt) - np.log(jet_pt)",
    "part_deltaR": "np.hypot(part_dphi, part_deta)",
    "part_share": "np.log(part_pt / ak.sum(part_pt, axis=1))",
    "part_near": "awkward.JaggedArray.ones_like(part_pt) * (part_deltaR < 0.1)",
    "jet_top": "label_top",
    "jet_other": "1 - label_top",
    "jet_number": "ak.num(part_px)",
    "jet_weight_2": "np.where(jet_top == 1, 0.5, 2.0)",
    "unused": "os.system('false')",
}
FEATURES = [
    ["part_pt_log", 1.7, 0.7],
    ["part_e_log", 1.0, 0.5, -4, 4],
    ["part_logptrel", -4.7, 0.7],
    ["part_deltaR", 0.2, 4.0],
    "part_charge",
    ["part_share", -3, 0.4, -5, 2, 1],
    ["part_near"],
    ["part_d0err", 0, 1, 0, 1],
    ["part_deta", None],
]
VECTORS = ["part_px", "part_py", "part_pz", "part_energy"]


def content_of(**changes) -> dict:
    content = {
        "treename": "tree",
        "selection": "(jet_pt > 520) & (jet_number > 3)",
        "test_time_selection": "jet_pt > 510",
        "new_variables": VARIABLES,
        "preprocess": {"method": "manual"},
        "inputs": {
            "pf_points": group(["part_deta", "part_dphi"]),
            "pf_features": group(FEATURES),
            "pf_vectors": group([[name, None] for name in VECTORS]),
            "pf_mask": group(["part_mask"], pad_mode="constant"),
        },
        "labels": {"type": "simple", "value": ["jet_top", "jet_other"]},
        "observers": ["jet_pt", "jet_sdmass"],
        "weights": {"use_precomputed_weights": True, "weight_branches": ["jet_weight_2"]},
    }
    return {**content, **changes}


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weaver")
    write_jetclass_root(folder / "jets.root", toy_jets(200, 3))
    write(folder / "data.yaml", content_of())
    return folder


def jets_of(conversion, path):
    data = conversion.config.data
    files = JetFiles(path, data.columns, data.cuts, wanted=conversion.config.training_columns)
    dataset = open_dataset(files, data.classes)
    if data.reweight is not None:
        dataset = dataset.reweighted(data.reweight, tuple(data.classes))
    return dataset.read([(0, len(dataset))]), dataset.classes


def branches_of(path) -> ak.Array:
    import uproot

    with uproot.open(path) as file:
        return file["tree"].arrays()


def test_features_labels_weights_and_selections_are_those_of_the_formulas(folder):
    conversion = parttag.convert_weaver(folder / "data.yaml")
    jets, classes = jets_of(conversion, folder / "jets.root")

    rows = branches_of(folder / "jets.root")
    rows = rows[(rows.jet_pt > 520) & (ak.num(rows.part_px) > 3)]
    assert 0 < len(rows) < 200 and len(jets) == len(rows)
    np.testing.assert_array_equal(classes, 1 - rows.label_top)
    np.testing.assert_allclose(jets.jet_weights, np.where(rows.label_top == 1, 0.5, 2.0))

    pt = np.hypot(rows.part_px, rows.part_py)
    delta_r = np.hypot(rows.part_deta, rows.part_dphi)

    def clipped(values, low=-5, high=5):
        return np.clip(ak.to_numpy(ak.flatten(values)), low, high)

    expected = [
        clipped((np.log(pt) - 1.7) * 0.7),
        clipped((np.log(rows.part_energy) - 1) * 0.5, -4, 4),
        clipped((np.log(pt / rows.jet_pt) + 4.7) * 0.7),
        clipped((delta_r - 0.2) * 4),
        ak.flatten(rows.part_charge),
        clipped((np.log(pt / ak.sum(pt, axis=1)) + 3) * 0.4, -5, 2),
        ak.flatten(delta_r < 0.1),
        clipped(rows.part_d0err, 0, 1),
        ak.flatten(rows.part_deta),
    ]
    found = particle_features(make_batch(jets), conversion.config.network_features).numpy()
    for column, values in enumerate(expected):
        np.testing.assert_allclose(found[:, column], values, atol=2e-6, err_msg=str(column))


def test_what_is_ours_by_its_formula_is_no_column(folder):
    conversion = parttag.convert_weaver(folder / "data.yaml")
    content = yaml.safe_load(conversion.text)
    assert content["features"][0] == "log_pt"
    assert content["features"][1]["column"] == "log_energy"
    assert content["features"][2:5] == ["log_pt_rel", "delta_r", "charge"]
    assert content["features"][7:] == ["d0_error", "delta_eta"]
    derived = content["data"]["columns"]["derived"]
    assert not {"part_mask", "part_pt_log", "part_logptrel", "unused"} & set(derived)
    assert "particles" not in content["data"]["columns"]
    assert conversion.keep == ("jet_pt", "jet_sdmass")
    assert conversion.config.data.classes == {"jet_top": ("jet_top",), "jet_other": ("jet_other",)}
    assert not conversion.missing


def test_a_set_and_labels_of_jetclass_need_no_columns(tmp_path):
    conversion = parttag.convert_weaver(write_weaver_file(tmp_path / "data.yaml"))
    assert conversion.config.features == "kin"
    assert conversion.config.data.columns is None
    assert conversion.config.data.classes == {"QCD": ("label_QCD",), "top": ("label_top",)}


def test_selections_are_cuts_on_formulas(folder):
    config = parttag.convert_weaver(
        folder / "data.yaml", flags=["--extra-selection-test", "jet_eta < 1"]
    ).config
    assert config.data.columns is not None and config.data.test_cuts is not None
    derived = config.data.columns.derived
    assert set(config.data.cuts.given) == {"columns.selected"}
    assert derived["selected"] == "(jet_pt > 520) & (jet_number > 3)"
    assert derived["selected_in_test"] == "(jet_pt > 510) & (jet_eta < 1)"
    assert set(config.data.test_cuts.given) == {"columns.selected_in_test"}


WEIGHTS = {
    "use_precomputed_weights": False,
    "reweight_vars": {"jet_pt": [500, 520, 540, 580, 1000], "jet_sdmass": [0, 60, 120, 400]},
    "reweight_classes": ["jet_top", "jet_other"],
    "class_weights": [1, 2],
    "reweight_threshold": 20,
}


@pytest.mark.parametrize("method", ["flat", "ref"])
@pytest.mark.parametrize("discards", [True, False])
def test_weights_are_those_that_weaver_draws_by(tmp_path, method, discards):
    """Restated from weaver-core's ``WeightMaker`` and ``_build_weights``, in single precision."""
    content = content_of(selection=None, test_time_selection=None)
    content["weights"] = WEIGHTS | {
        "reweight_method": method,
        "reweight_discard_under_overflow": discards,
    }
    arrays = toy_jets(600, 5)
    mass = np.random.default_rng(1).uniform(-20, 450, len(arrays)).astype(np.float32)
    path = write_jetclass_root(tmp_path / "jets.root", arrays, replaced={"jet_sdmass": mass})
    conversion = parttag.convert_weaver(write(tmp_path / "data.yaml", content))
    jets, _ = jets_of(conversion, path)

    rows = branches_of(path)
    x, y = ak.to_numpy(rows.jet_pt), ak.to_numpy(rows.jet_sdmass)
    edges = [np.array(e, dtype=float) for e in WEIGHTS["reweight_vars"].values()]
    inside = (x >= 500) & (x <= 1000) & (y >= 0) & (y <= 400)
    bins = [(np.digitize(v, e) - 1).clip(0, len(e) - 2) for v, e in zip((x, y), edges, strict=True)]
    of_class = [ak.to_numpy(rows.label_top) == 1, ak.to_numpy(rows.label_top) == 0]
    counts = []
    for own in of_class:
        used = own & inside if discards else own
        histogram = np.zeros((4, 3))
        np.add.at(histogram, (bins[0][used], bins[1][used]), 1)
        counts.append(histogram)
    expected = np.zeros(len(x))
    for number, (own, count) in enumerate(zip(of_class, counts, strict=True)):
        with np.errstate(divide="ignore", invalid="ignore"):
            if method == "flat":
                floor = np.median(count[count > 0]) * 0.01
                factor = np.percentile(count[count > floor], 20) / count
            else:
                ratio = np.nan_to_num(counts[0] / count, posinf=0)
                factor = ratio / np.percentile(ratio[ratio > 0], 80)
        factor = np.clip(np.nan_to_num(factor, posinf=0), 0, 1)
        factor = factor * [1, 2][number] / (count * factor).sum()
        used = own & inside if discards else own
        expected[used] = factor[bins[0][used], bins[1][used]]
    found = jets.jet_weights
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=1e-5)
    assert (expected == 0).any() == discards


def test_flags_of_a_training(folder):
    text = (
        "--data-train a:x/*.root b:y.root --data-val v.root --num-epochs 30 --batch-size 256 "
        "--samples-per-epoch 25600 --start-lr 1e-3 --optimizer adamW --optimizer-option "
        "weight_decay 0.05 --lr-scheduler warmup+cos --warmup-steps 0.1 --use-amp --gpus 0,1 "
        "--fetch-step 0.01 --num-workers 3 --cross-validation event%5"
    )
    options = ["num_layers", "4", "embed_dims", "[32, 64, 32]", "num_heads", "4", "fc_params", "[]"]
    conversion = parttag.convert_weaver(
        folder / "data.yaml", flags=text.split(), network="ParT.py", network_options=options
    )
    config = conversion.config
    assert config.data.train == ("x/*.root", "y.root") and config.data.val == ("v.root",)
    assert (config.training.epochs, config.training.batch_size) == (30, 256)
    assert config.training.steps_per_epoch == 100 and config.training.precision == "bf16"
    assert config.training.drop_last
    assert (config.optimizer.name, config.optimizer.lr) == ("adamw", 1e-3)
    assert config.optimizer.weight_decay == 0.05
    assert config.schedule.model_dump()["warmup_steps"] == 300
    model = config.model.model_dump()
    assert (model["name"], model["num_layers"], model["max_particles"]) == (
        *("particle_transformer", 4),
        64,
    )
    assert [remark.what for remark in conversion.missing] == ["--cross-validation"]
    noted = {remark.what for remark in conversion.remarks if remark.kind == "note"}
    assert {"--fetch-step", "--num-workers", "--gpus", "--data-train"} <= noted


def changed(**changes):
    return content_of(**changes)


def with_variable(formula):
    return content_of(new_variables={**VARIABLES, "part_share": formula})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"data": {}}, "is no data configuration of weaver-core: it has no section inputs"),
        (
            changed(weigths={}),
            r"line \d+: weaver-core knows no key weigths; the nearest is weights",
        ),
        (with_variable("__import__('os').system('x')"), r"line \d+: .* is not allowed"),
        (with_variable("np.load('x')"), r"line \d+: .*the function np\.load"),
        (with_variable("[x for x in part_pt]"), r"line \d+: .* is not allowed"),
        (with_variable("part_near + part_share"), r"line \d+: part_share → .* in a circle"),
        (changed(inputs={"ft_vars": {"length": None, "vars": ["a"]}}), "no group of inputs is of"),
        (changed(inputs={"pf_features": {"length": 4, "vars": [[1, 2]]}}), "a variable is a name"),
        (changed(labels={"type": "simple", "value": []}), "labels.value must be a list"),
        (changed(selection="jet_pt >"), r"line \d+: .* is no formula"),
    ],
)
def test_what_is_none_is_refused_in_one_sentence(tmp_path, content, sentence):
    out = tmp_path / "config.yaml"
    with pytest.raises(InputError, match=sentence) as error:
        parttag.convert_weaver(write(tmp_path / "data.yaml", content), out=out)
    assert "\n" not in str(error.value) and not out.exists()


def test_strict_refuses_what_has_no_counterpart(tmp_path):
    content = content_of(labels={"type": "custom", "value": {"mass": "np.log(jet_sdmass)"}})
    content["labels"] |= {"type": "hybrid", "value": ["jet_top", "jet_other"]}
    content["labels"]["value_custom"] = {"mass": "np.log(jet_sdmass)"}
    path = write(tmp_path / "data.yaml", content)
    (missing,) = parttag.convert_weaver(path).missing
    assert missing.what == "regression" and missing.line is not None
    with pytest.raises(InputError, match=r"line \d+: regression: value_custom"):
        parttag.convert_weaver(path, strict=True)


def test_a_custom_label_that_is_the_largest_of_some_is_a_class(tmp_path):
    formula = "np.argmax(np.stack([jet_top, jet_other], axis=1), axis=1)"
    content = content_of(labels={"type": "custom", "value": {"truth": formula}})
    config = parttag.convert_weaver(write(tmp_path / "data.yaml", content)).config
    assert list(config.data.classes) == ["jet_top", "jet_other"]


def test_the_command_writes_a_configuration_that_loads(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "config.yaml"
    arguments = ["parttag", "convert", "weaver", str(folder / "data.yaml"), "--num-epochs", "3"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(out), "--lr-finder", "1,2,3"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    output = capsys.readouterr().out
    assert not end.value.code
    assert "missing: --lr-finder" in output and "--keep jet_pt,jet_sdmass" in output
    config = load_config(out)
    assert config.training.epochs == 3
    assert config == parttag.convert_weaver(folder / "data.yaml", flags=arguments[4:]).config
    assert "# keep" not in out.read_text() and "--keep jet_pt,jet_sdmass" in out.read_text()
