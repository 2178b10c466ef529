"""The evaluation at the end of a training is shared by the processes of the training."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

from helpers.files import write_jetclass_root
from helpers.ranks import RankGroup
from helpers.runs import NETWORK
from parttag.evaluation.evaluate import score_run
from parttag.evaluation.scorer import Scorer
from parttag.runs.run import load_run
from parttag.testing import toy_jets
from parttag.training.distributed import Ranks

JETS = 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with a test set and weights by bins, and one of two folds, each by two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, seed in (("train", 1), ("test", 2)):
        event = np.arange(JETS, dtype=np.uint32)
        write_jetclass_root(
            folder / f"{name}.root", toy_jets(JETS, seed), replaced={"event": event}
        )
    content = {
        "data": {
            "train": str(folder / "train.root"),
            "test": str(folder / "test.root"),
            "classes": {"top": ["label_top"], "QCD": ["label_QCD"]},
            "reweight": {"by": {"jet_pt": [0, 600, 10_000]}},
        },
        "model": NETWORK,
        "training": {"batch_size": 16, "epochs": 1, "device": "cpu", "rank_timeout": 60.0},
    }
    folds = {"train": content["data"]["train"], "folds": {"number": 2, "by": "event"}}
    folds |= {"classes": content["data"]["classes"]}
    both = []
    for name, data in (("one", content["data"]), ("folds", folds)):
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**content, "data": data}, sort_keys=False))
        both.append((path, folder / name))
    results = RankGroup(2, both).wait()
    assert [result for result in results if result.code] == []
    return folder


@pytest.mark.parametrize("name", ["one", "folds"])
def test_two_processes_score_what_one_does(runs, name):
    expected = score_run(load_run(runs / name)).scores
    with h5py.File(runs / name / "evaluation" / "scores.h5") as file:
        logits = np.stack([file[f"logit_{c}"][()] for c in expected.classes], axis=1)
    assert len(logits) == JETS
    np.testing.assert_allclose(logits, expected.logits, rtol=1e-6, atol=1e-7)


def test_each_process_computes_a_share_of_the_batches_and_no_more(runs):
    jets = toy_jets(JETS, 2)
    scorer = replace(Scorer.of_run(load_run(runs / "one"), labels_required=True), batch_size=8)
    whole = scorer.score(jets).logits
    parts = [replace(scorer, ranks=Ranks(rank, 3)).score(jets).logits for rank in range(3)]
    computed = np.stack([np.isfinite(part).all(axis=1) for part in parts])
    assert (computed.sum(axis=0) == 1).all()
    assert computed.sum(axis=1).tolist() == [24, 20, 16]  # of 8 batches
    for own, part in zip(computed, parts, strict=True):
        np.testing.assert_array_equal(part[own], whole[own])


def test_metrics_say_what_the_reweighting_did(runs):
    metrics = json.loads((runs / "one" / "evaluation" / "metrics.json").read_text())
    jets = toy_jets(JETS, 1)
    tops = jets.labels[:, jets.label_names.index("label_top")] == 1
    found = metrics["reweighting"]["top"]
    assert found["num_jets"] == tops.sum() == found["num_effective"]["before"]
    written = json.loads((runs / "one" / "reweighting.json").read_text())["classes"]["top"]
    assert found == {name: written[name] for name in found}
    assert found["num_effective"]["after"] <= found["num_jets"]
