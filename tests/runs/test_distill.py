"""Distillation: the loss by hand, teachers read once, and a student that learns its teacher."""

import json

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from helpers.runs import toy_config
from parttag.data.readers import read_chunks
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch
from parttag.training.objectives import build_objective
from parttag.training.objectives.distill import DistillOptions, TeacherLogits

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def student(**options):
    network = small_network("pfn").double()
    objective = build_objective(DistillOptions(teacher="runs/teacher", **options), network)
    batch = toy_batch(6, seed=2).to("cpu", torch.float64)
    batch.labels[:] = torch.tensor([0, 1, 2, 0, 1, 2])
    batch.jet_weights[:] = torch.tensor([1.0, 2.0, 1.0, 0.5, 1.0, 0.0])
    torch.manual_seed(4)
    taught = torch.randn(6, 3)
    order = torch.tensor([3, 0, 5, 1, 4, 2])  # whatever order they were scored in
    known = TeacherLogits(batch.index[order].numpy(), taught[order].numpy())
    objective.train_logits = objective.val_logits = known
    return network, objective, batch, taught.double()


@pytest.mark.parametrize(("temperature", "labels"), [(4.0, 0.0), (1.0, 0.3)])
def test_the_loss_is_the_divergence_from_the_teachers_softened_scores(temperature, labels):
    network, objective, batch, taught = student(temperature=temperature, labels=labels)
    sums = objective(network, batch)
    logits = network(batch)
    p = (taught / temperature).exp()
    q = (logits / temperature).exp()
    p, q = p / p.sum(dim=1, keepdim=True), q / q.sum(dim=1, keepdim=True)
    losses = (1 - labels) * temperature**2 * (p * (p / q).log()).sum(dim=1)
    right = logits.softmax(dim=1)[torch.arange(6), batch.labels]
    losses = losses - labels * right.log()
    torch.testing.assert_close(sums.loss, (batch.jet_weights * losses).sum(), **EXACT)
    assert sums.weight == 5.5
    same = (logits.argmax(dim=1) == taught.argmax(dim=1)).double()
    torch.testing.assert_close(sums.metrics["agreement"], (batch.jet_weights * same).sum(), **EXACT)


def test_a_student_that_agrees_has_no_loss_and_no_gradient():
    network, objective, batch, _ = student()
    logits = network(batch).detach()
    objective.train_logits = TeacherLogits(batch.index.numpy(), logits.numpy())
    network.train()
    loss = objective(network, batch).loss
    assert abs(loss.item()) < 1e-5  # the teacher's logits are kept in single precision
    loss.backward()
    assert max(p.grad.abs().max() for p in network.parameters()) < 1e-4


def test_a_jet_that_the_teacher_has_not_seen_is_no_other_jet():
    network, objective, batch, _ = student()
    objective.train_logits = TeacherLogits(np.array([10**6]), np.zeros((1, 3)))
    assert objective(network.train(), batch).loss.isnan()  # which a training refuses


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    config = toy_config(folder, "training.epochs=1")
    runs = [train_run(config, folder / "first")]
    config = toy_config(folder, "training.epochs=1", "training.seed=1")
    return folder, [*runs, train_run(config, folder / "second")]


def test_the_teachers_scores_are_kept_beside_the_jets_and_read_again(teachers):
    folder, runs = teachers
    options = ("objective.name=distill", f"objective.teacher={runs[0]}", "training.epochs=2")
    directory = train_run(toy_config(folder, *options), folder / "student")
    kept = sorted(folder.glob(".*.teacher_*"))
    assert [path.name.split(".")[1] for path in kept] == ["train", "val"]
    jets = next(read_chunks(folder / "train.h5"))
    with np.load(kept[0]) as file, torch.no_grad():
        order = np.argsort(file["index"])
        expected = load_run(runs[0]).model(make_batch(jets))
        np.testing.assert_allclose(file["logits"][order], expected, rtol=1e-5, atol=1e-5)
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert any("agreement" in str(line) for line in lines)
    assert load_run(directory).classes == ("top", "QCD")  # a classifier, without its teacher
    before = kept[0].stat().st_mtime_ns
    train_run(toy_config(folder, *options, "training.seed=3"), folder / "another")
    assert sorted(folder.glob(".*.teacher_*")) == kept
    assert kept[0].stat().st_mtime_ns == before


def test_several_teachers_teach_the_mean_of_their_scores(teachers):
    folder, runs = teachers
    kept = set(folder.glob(".train.h5.teacher_*"))
    names = "[" + ",".join(map(str, runs)) + "]"
    options = ("objective.name=distill", f"objective.teacher={names}", "training.epochs=1")
    train_run(toy_config(folder, *options), folder / "of_two")
    (new,) = set(folder.glob(".train.h5.teacher_*")) - kept
    batch = make_batch(next(read_chunks(folder / "train.h5")))
    with np.load(new) as file, torch.no_grad():
        order = np.argsort(file["index"])
        scores = torch.stack([load_run(run).model(batch).softmax(dim=1) for run in runs])
        found = torch.from_numpy(file["logits"][order]).exp()
        torch.testing.assert_close(found, scores.mean(dim=0), rtol=1e-5, atol=1e-6)


def test_a_teacher_of_other_classes_or_none_is_refused(teachers):
    folder, runs = teachers
    options = ["objective.name=distill", f"objective.teacher={runs[0]}"]
    config = toy_config(folder, *options, "data.classes={top: [label_top], other: [label_QCD]}")
    with pytest.raises(InputError, match="knows the classes top, QCD, and not other"):
        train_run(config, folder / "refused")
    config = toy_config(folder, options[0], f"objective.teacher={folder / 'nothing'}")
    with pytest.raises(InputError, match="nothing is not a run"):
        train_run(config, folder / "refused_too")


def test_a_student_learns_its_teachers_decisions(teachers):
    folder, runs = teachers
    options = ("objective.name=distill", f"objective.teacher={runs[0]}", "optimizer.lr=0.02")
    directory = train_run(toy_config(folder, *options, "training.epochs=30"), folder / "learned")
    batch = make_batch(next(read_chunks(folder / "train.h5")))
    with torch.no_grad():
        taught = load_run(runs[0]).model(batch).softmax(dim=1)
        learned = load_run(directory).model(batch).softmax(dim=1)
    assert (learned - taught).abs().mean() < 0.05
