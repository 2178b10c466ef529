from dataclasses import replace

import numpy as np
import pytest
import torch

from parttag.errors import InputError
from parttag.evaluation.scorer import Scorer
from parttag.evaluation.scores import join
from parttag.jets.batch import make_batch
from parttag.models import Tagger, build_model
from parttag.models.pfn import PFNOptions
from parttag.testing import toy_jets

CLASSES = {"top": ("label_top", "label_Tbqq"), "QCD": ("label_QCD",)}


@pytest.fixture(scope="module")
def model() -> Tagger:
    torch.manual_seed(0)
    options = PFNOptions(particle_dims=(8, 8), jet_dims=(8,), max_particles=20)
    return build_model(options, "kin", 2).eval()


def scorer(model: Tagger, **changes) -> Scorer:
    settings = {"labels_required": True, "batch_size": 7, **changes}
    return Scorer(model, CLASSES, **settings)


def with_bad_jets(arrays, *rows):
    """Return the jets with the first particle of some of them spoiled."""
    p4 = arrays.p4.copy()
    p4[arrays.offsets[list(rows)]] = np.nan
    return replace(arrays, p4=p4)


def test_logits_are_the_networks_in_the_order_of_the_jets(model):
    jets = toy_jets(50)
    with torch.no_grad():
        expected = model(make_batch(jets, max_particles=20)).numpy()
    scored = scorer(model).score(jets)
    np.testing.assert_allclose(scored.logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(scored.labels, np.arange(50) % 2)
    np.testing.assert_array_equal(scored.num_particles, jets.lengths)


def test_columns_are_those_of_the_design(model):
    scored = scorer(model).score(toy_jets(5))
    columns = scored.columns()
    assert list(columns) == [
        "score_top",
        "score_QCD",
        "logit_top",
        "logit_QCD",
        "label",
        "valid",
        "jet_weight",
        "jet_pt",
        "jet_eta",
        "jet_mass",
        "num_particles",
    ]
    np.testing.assert_allclose(columns["score_top"] + columns["score_QCD"], 1, rtol=1e-6)
    odds = columns["logit_top"].astype(float) - columns["logit_QCD"]
    np.testing.assert_allclose(columns["score_top"], 1 / (1 + np.exp(-odds)), rtol=1e-5)


def test_jet_quantities_are_those_of_a_jet_worked_out_by_hand(model):
    jets = replace(
        toy_jets(2),
        jet_p4=np.array([[30, 40, 0, 130], [0, 50, 50, 75]], dtype=np.float32),
    )
    scored = scorer(model).score(jets)
    np.testing.assert_allclose(scored.jet_pt, [50, 50])
    np.testing.assert_allclose(scored.jet_eta, [0, np.arcsinh(1)], rtol=1e-6)
    np.testing.assert_allclose(scored.jet_mass, [120, 25], rtol=1e-6)


def test_bad_jets_stay_as_rows_of_nan_and_change_no_other(model):
    jets = toy_jets(30)
    spoiled = scorer(model).score(with_bad_jets(jets, 3, 17))
    whole = scorer(model).score(jets)
    assert np.flatnonzero(~spoiled.valid).tolist() == [3, 17]
    columns = spoiled.columns()
    for name in ("score_top", "logit_QCD", "jet_pt", "jet_eta", "jet_mass"):
        assert np.flatnonzero(np.isnan(columns[name])).tolist() == [3, 17]
    assert columns["valid"].tolist() == [int(row not in (3, 17)) for row in range(30)]
    np.testing.assert_array_equal(spoiled.num_particles, whole.num_particles)
    np.testing.assert_allclose(
        spoiled.logits[spoiled.valid], whole.logits[spoiled.valid], rtol=1e-5, atol=1e-5
    )


def test_strict_names_the_first_bad_jet_and_what_is_wrong_with_it(model):
    jets = with_bad_jets(toy_jets(30), 3, 17)
    with pytest.raises(InputError, match=r"toy.root, jet 3: bad jet \(non-finite .* of 2"):
        scorer(model, strict=True).score(jets)


def test_nothing_but_bad_jets_is_scored_too(model):
    scored = scorer(model).score(toy_jets(lengths=[0, 0]))
    assert not scored.valid.any()
    assert np.isnan(scored.logits).all()


def test_unknown_labels_are_minus_one_unless_they_are_required(model):
    jets = toy_jets(6)
    bare = replace(jets, labels=jets.labels[:, :0], label_names=())
    half = replace(jets, labels=jets.labels[:, 1:], label_names=("label_QCD",))
    free = scorer(model, labels_required=False)
    assert free.score(jets).labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert free.score(bare).labels.tolist() == [-1] * 6
    assert free.score(half).labels.tolist() == [-1, 1, -1, 1, -1, 1]
    for incomplete in (bare, half):
        with pytest.raises(InputError, match="no label label_top or label_Tbqq for class top"):
            scorer(model).score(incomplete)


def test_a_network_that_gives_no_number_is_refused_with_the_jet(model):
    spoiled = build_model(model_options(model), "kin", 2).eval()
    with torch.no_grad():
        spoiled.head[-1].bias[0] = torch.inf
    with pytest.raises(InputError, match=r"toy.root, jet 0: .* no finite score .* 4 others"):
        scorer(spoiled).score(toy_jets(5))


def model_options(model: Tagger) -> PFNOptions:
    return PFNOptions(particle_dims=(8, 8), jet_dims=(8,), max_particles=model.max_particles)


class Witness(torch.nn.Module):
    """A head that notes how precisely it is asked to compute."""

    def forward(self, x):
        self.seen = (
            torch.backends.cuda.matmul.fp32_precision,
            torch.backends.cudnn.conv.fp32_precision,
            torch.is_autocast_enabled("cpu"),
            torch.is_inference_mode_enabled(),
        )
        return x[:, :2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_are_computed_without_shortcuts_unless_asked(precision):
    model = build_model(PFNOptions(particle_dims=(4,), jet_dims=(4,)), "kin", 2).eval()
    model.head = Witness()
    torch.set_float32_matmul_precision("high")
    try:
        scorer(model, precision=precision).score(toy_jets(3))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.backends.cudnn.allow_tf32
    assert model.head.seen == ("ieee", "ieee", precision == "bf16", True)


def test_a_process_that_has_set_torchs_new_names_scores_too(model):
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    matmul.fp32_precision, conv.fp32_precision = "tf32", "ieee"
    try:
        assert np.isfinite(scorer(model).score(toy_jets(3)).logits).all()
        assert (matmul.fp32_precision, conv.fp32_precision) == ("tf32", "ieee")
    finally:
        matmul.fp32_precision, conv.fp32_precision = before


def test_bfloat16_gives_nearly_the_same_scores(model):
    jets = toy_jets(20)
    exact, fast = (scorer(model, precision=p).score(jets).logits for p in ("fp32", "bf16"))
    assert (exact != fast).any()
    np.testing.assert_allclose(fast, exact, atol=0.03)


def test_parts_join_in_order(model):
    jets = toy_jets(9)
    parts = join([scorer(model).score(jets.span(0, 4)), scorer(model).score(jets.span(4, 9))])
    assert len(parts) == 9
    np.testing.assert_allclose(parts.logits, scorer(model).score(jets).logits, atol=1e-6)


def test_a_gpu_that_is_not_there_is_refused(run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match='device="cuda": this machine has no GPU'):
        Scorer.of_run(run, labels_required=False, device="cuda")
    assert Scorer.of_run(run, labels_required=False).model is run.model
