"""``data.negative_weights``: keep the signs, leave them out, or refuse; in memory and in stores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.files import write_jetclass_root
from helpers.runs import toy_config
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.selection.reweight import ReweightOptions
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.jets.batch import make_batch
from parttag.models import MODELS, build_model
from parttag.options import read_options
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets
from parttag.training.objectives import OBJECTIVES

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
COLUMNS = read_options(ColumnsOptions, {"jet_weight": "generator_weight"})
JETS = 60


def weights_of(seed: int, number: int = JETS) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(number) < 0.2, -1.5, 1.5)


def write(folder, name="jets.root", weights=None):
    jets = toy_jets(JETS, 1)
    values = weights_of(1) if weights is None else weights
    return write_jetclass_root(folder / name, jets, replaced={"generator_weight": values})


@pytest.fixture(params=["file", "store"])
def jets_of(request, tmp_path):
    def make(weights=None):
        path = write(tmp_path, weights=weights)
        if request.param == "store":
            prepare([path], tmp_path / "store", columns=COLUMNS, progress=lambda x, **_: x)
            return JetFiles(tmp_path / "store")
        return JetFiles(path, COLUMNS)

    return make


def opened(files, negative):
    return open_dataset(files, CLASSES, negative_weights=negative)


def test_negative_weights_are_read_as_they_are_and_refused_only_where_they_count(jets_of):
    files = jets_of()
    kept = opened(files, "keep").take(np.arange(JETS))
    expected = kept.jet_weights
    assert sorted(expected) == sorted(weights_of(1).astype(np.float32))
    absolute = opened(files, "absolute")
    assert (absolute.take(np.arange(JETS)).jet_weights == 1.5).all()
    assert (absolute.subset(20).read([(3, 9)]).jet_weights == 1.5).all()
    with pytest.raises(InputError, match=r"has the weight -1\.5: .*data\.negative_weights=keep"):
        opened(files, "refuse")


def test_jets_of_no_class_may_have_any_weight(tmp_path):
    path = write(tmp_path)
    jets = toy_jets(JETS, 1)
    tops = jets.labels[:, jets.label_names.index("label_top")] == 1
    other = write(tmp_path, "other.root", np.where(tops, 1.0, -1.0))
    assert len(open_dataset(JetFiles(other, COLUMNS), {"top": ["label_top"]})) == tops.sum()
    with pytest.raises(InputError, match="has the weight"):
        open_dataset(JetFiles(path, COLUMNS), CLASSES)


def test_a_class_whose_weights_sum_up_to_less_than_nothing_is_refused(jets_of):
    jets = toy_jets(JETS, 1)
    tops = jets.labels[:, jets.label_names.index("label_top")] == 1
    files = jets_of(np.where(tops, -1.0, 2.0))
    with pytest.raises(InputError, match=r"weights of class top sum up to 0 or less"):
        opened(files, "keep")
    assert len(opened(files, "absolute")) == JETS


def test_signed_weights_are_reweighted_to_equal_spectra(tmp_path):
    files = JetFiles(write(tmp_path), COLUMNS)
    options = read_options(ReweightOptions, {"by": {"jet_pt": [0, 600, 10_000]}})
    data = opened(files, "keep").reweighted(options, tuple(CLASSES))
    jets = data.take(np.arange(JETS))
    assert (jets.jet_weights < 0).any()
    for low, high in ((0, 600), (600, 10_000)):
        inside = (jets.pt >= low) & (jets.pt < high)
        sums = [jets.jet_weights[inside & (data.classes == number)].sum() for number in (0, 1)]
        shares = [
            own / jets.jet_weights[data.classes == number].sum() for number, own in enumerate(sums)
        ]
        assert shares[0] == pytest.approx(shares[1], rel=1e-5)


def test_the_loss_of_signed_weights_is_divided_by_their_sizes():
    """A batch whose weights cancel has a gradient, and no infinite loss."""
    model = build_model(MODELS["pfn"].network.options_class(name="pfn"), ("log_pt",), 2)
    jets = toy_jets(8, 3)
    objective = OBJECTIVES["classify"](OBJECTIVES["classify"].options_class())
    weights = np.array([1, 1, 1, 1, -1, -1, -1, -1], dtype=np.float32)
    batch = make_batch(replace(jets, jet_weights=weights))
    batch = replace(batch, labels=torch.tensor([0, 1] * 4))
    sums = objective(model.eval(), batch)
    single = [
        torch.nn.functional.cross_entropy(logits[None], label[None])
        for logits, label in zip(model(batch), batch.labels, strict=True)
    ]
    expected = sum(w * loss for w, loss in zip(weights.tolist(), single, strict=True))
    torch.testing.assert_close(sums.loss, expected)
    assert (float(sums.weight), float(sums.size)) == (0, 8)


def test_a_run_trains_on_signed_weights_and_says_what_they_measure(tmp_path):
    config = toy_config(tmp_path)
    for name in ("train", "val"):
        write(tmp_path, f"{name}.root")
    jets = write(tmp_path, "test.root", weights_of(4))
    data = config.data.model_copy(
        update={
            "train": (str(tmp_path / "train.root"),),
            "val": (),
            "columns": COLUMNS,
            "negative_weights": "keep",
        }
    )
    training = config.training.model_copy(update={"batch_size": 4, "epochs": 2})
    config = config.model_copy(update={"data": data, "training": training})
    run = load_run(train_run(config, tmp_path / "run"))
    report = evaluate_run(run, str(jets))
    assert (report.scores.jet_weights == weights_of(4).astype(np.float32)).all()
    assert 0 < sum(report.num_effective.values()) < 0.8 * JETS
    absolute = evaluate_run(run, str(jets), negative_weights="absolute")
    assert (absolute.scores.jet_weights == 1.5).all()
    assert absolute.num_effective == dict(absolute.num_jets)
    with pytest.raises(InputError, match=r'evaluate with negative_weights="keep"'):
        evaluate_run(run, str(jets), negative_weights="refuse")
