"""The losses of tasks, said again in float64, their gradients by differences, and their weights."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.jets.columns import pack_columns
from parttag.jets.memberships import with_memberships
from parttag.jets.targets import TargetOptions
from parttag.models.layers.task_heads import TargetHead
from parttag.options import read_options
from parttag.testing import toy_jets
from parttag.training.objectives import Truth, build_objective, tasks
from parttag.training.objectives.classify import ClassificationOptions, classification_sums
from parttag.training.objectives.task_losses import known_vertices, origins, target_losses
from parttag.training.objectives.task_options import OriginTask, TasksOptions, VertexTask

EXACT = {"rtol": 1e-10, "atol": 1e-10}
KNOWN = {"column": "genmass", "centre": 0.2, "scale": 3.0}
TARGETS = {
    "log": TargetOptions(**KNOWN, transform="log", relative_to="jet_mass", loss="huber"),
    "cosh": TargetOptions(**KNOWN, transform="asinh", loss="log-cosh"),
    "wide": TargetOptions(**KNOWN, relative_to="jet_pt", loss="gaussian"),
    "parts": TargetOptions(**KNOWN, relative_to="jet_mass", loss="quantiles"),
}
ORIGIN = {"column": "origin", "classes": {"b": 5, "light": [1, 2]}}


def write_columns(jets, seed=0):
    """Return the jets with a mass that some lack, and origins and vertices of particles."""
    rng = np.random.default_rng(seed)
    mass = jets.mass.astype(np.float64) * rng.lognormal(0, 0.2, len(jets)) + 1
    mass[::3] = np.nan
    number = len(jets.p4)
    particles = {
        "origin": rng.choice([1, 2, 5, 9], number).astype(np.int32),
        "vertex": rng.integers(-1, 3, number).astype(np.int16),
        "x": rng.choice([0.0, 0.001, 2.0, np.nan], number),
        "y": rng.choice([0.0, 1.0], number),
    }
    columns, types = pack_columns(particles, number)
    of_jets, jet_types = pack_columns({"genmass": mass}, len(jets))

    return replace(
        jets,
        columns=columns,
        column_types=types,
        jet_columns=of_jets,
        jet_column_types=jet_types,
        jet_weights=rng.choice([0.5, 1.0, 2.0], len(jets)).astype(np.float32),
    )


def some_batch(number=8, seed=0):
    jets = write_columns(toy_jets(seed=seed, lengths=np.arange(number) % 5 + 2), seed)
    labels = np.arange(number) % 2
    return make_batch(jets, labels.astype(np.int64)).to("cpu", torch.float64)


def objective_of(content, network, targets=None):
    options = read_options(TasksOptions, {"name": "tasks", **content})
    return build_objective(options, network, Truth(("top", "QCD"), targets or {}))


def network_of(seed=0):
    torch.manual_seed(seed)
    return small_network("plain_transformer", num_classes=2).double().eval()


@pytest.mark.parametrize("name", TARGETS)
def test_losses_of_targets_are_those_of_the_books(name):
    target = TARGETS[name]
    rng = np.random.default_rng(1)
    truth = rng.normal(size=20) * 2
    outputs = np.sort(rng.normal(size=(20, target.num_outputs)), axis=1)
    found = target_losses(torch.from_numpy(outputs), torch.from_numpy(truth), target).numpy()
    r = truth - outputs[:, 0]
    if name == "log":
        expected = np.where(np.abs(r) < 1, r**2 / 2, np.abs(r) - 0.5)
    elif name == "cosh":
        expected = np.log(np.cosh(r))
    elif name == "wide":
        width = np.exp(outputs[:, 1])
        density = np.exp(-((r / width) ** 2) / 2) / (np.sqrt(2 * np.pi) * width)
        expected = -np.log(density) - 0.5 * np.log(2 * np.pi)
    else:
        over = truth[:, None] - outputs
        shares = np.array([0.16, 0.5, 0.84])
        expected = np.where(over > 0, shares * over, (shares - 1) * over).mean(axis=1)
    np.testing.assert_allclose(found, expected, **EXACT)
    squared = TargetOptions(column="x", loss="mean_squared")
    found = target_losses(torch.from_numpy(outputs), torch.from_numpy(truth), squared)
    np.testing.assert_allclose(found.numpy(), r**2, **EXACT)


@pytest.mark.parametrize("loss", ["mse", "huber", "log_cosh", "gaussian", "quantiles"])
def test_gradients_are_those_of_finite_differences(loss):
    target = TargetOptions(column="x", loss=loss)
    torch.manual_seed(0)
    head = TargetHead(4, target).double()
    jets = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.randn(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: target_losses(head(x), truth, target), (jets,))


def test_predicted_quantiles_never_cross_in_the_units_of_the_column():
    target = TargetOptions(
        **KNOWN, transform="log", loss="quantiles", quantiles=(0.025, 0.16, 0.5, 0.84, 0.975)
    )
    torch.manual_seed(0)
    outputs = TargetHead(3, target)(10 * torch.randn(200, 3))
    reference = torch.rand(200, dtype=torch.float64) + 0.1
    found = target.in_units(outputs, reference)
    assert list(found) == ["", "_q2p5", "_q16", "_q50", "_q84", "_q97p5"]
    columns = torch.stack(list(found.values())[1:])
    assert (columns.diff(dim=0) >= 0).all()
    assert torch.equal(found[""], found["_q50"])
    # exp(y/scale + centre)·r, said again.
    expected = np.exp(outputs.double().detach().numpy()[:, 2] / 3 + 0.2) * reference.numpy()
    np.testing.assert_allclose(found[""].detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("transform", ["none", "log", "log1p", "sqrt", "asinh"])
def test_a_target_comes_back_in_its_units(transform):
    target = TargetOptions(**KNOWN, transform=transform, relative_to="jet_pt")
    batch = some_batch()
    there = target.standardized(batch)
    back = target.in_units(there[:, None], target.reference(batch))[""]
    values = batch.jet_column("genmass")
    known = values.isfinite()
    assert known.sum() == 5
    assert there.isnan().equal(~known)
    torch.testing.assert_close(back[known], values[known])


@pytest.mark.parametrize(
    ("options", "beside"),
    [
        ({"column": "jet_genmass", "relative_to": "jet_pt"}, ("jet_mass", "jet_sdmass")),
        ({"column": "jet_genpt"}, ("jet_pt",)),
        ({"column": "hadron", "relative_to": "jet_width"}, ("jet_width",)),
        ({"column": "hadron"}, ()),
        ({"column": "jet_genmass", "beside": ["jet_tau21"]}, ("jet_tau21",)),
    ],
)
def test_what_stands_beside_a_target_follows_from_its_name(options, beside):
    assert read_options(TargetOptions, options).compared == beside


def _restated(objective, network, batch):
    """Return the mean loss of each task, jet by jet, particle by particle and pair by pair."""
    seen = tasks.look(network, batch, with_particles=True)
    head, means = network.head, {}
    offsets, weights = batch.offsets.tolist(), batch.jet_weights.tolist()

    def mean(values):
        return sum(w * v for w, v in values) / sum(w for w, _ in values)

    logits = head(seen.jets).tolist()
    means["classify"] = mean(
        [
            (w, -math.log(math.exp(own[label]) / sum(map(math.exp, own))))
            for w, own, label in zip(weights, logits, batch.labels.tolist(), strict=True)
        ]
    )
    mass = batch.jet_column("genmass").tolist()
    own_mass = TARGETS["log"].reference(batch).tolist()
    said = head.target("log", seen.jets).tolist()
    huber = []
    for w, t, m, (y,) in zip(weights, mass, own_mass, said, strict=True):
        if math.isfinite(t):
            r = abs((math.log(t / m) - 0.2) * 3.0 - y)
            huber.append((w, r * r / 2 if r < 1 else r - 0.5))
    means["log"] = mean(huber)
    scores = seen.origin_logits(head).tolist()
    origins = batch.particle_column("origin").tolist()
    pairs = seen.vertex_logits(head).tolist()
    vertex = batch.particle_column("vertex").tolist()
    of_particles, of_pairs = [], []
    place = 0
    for jet, w in enumerate(weights):
        for i in range(offsets[jet], offsets[jet + 1]):
            if origins[i] in (1, 2, 5):
                right = 0 if origins[i] == 5 else 1
                total = sum(map(math.exp, scores[i]))
                of_particles.append((w, -math.log(math.exp(scores[i][right]) / total)))
            for j in range(offsets[jet], i + 1):
                p = 1 / (1 + math.exp(-pairs[place]))
                place += 1
                if i != j and vertex[i] >= 0 and vertex[j] >= 0:
                    of_pairs.append((w, -math.log(p if vertex[i] == vertex[j] else 1 - p)))
    means["origin"], means["vertex"] = mean(of_particles), mean(of_pairs)
    return means


ALL = {
    "classify": {"weight": 2.0},
    "log": {"weight": 0.1},
    "origin": {"weight": 0.5, **ORIGIN},
    "vertex": {"column": "vertex"},
}
WEIGHTS = {"classify": 2.0, "log": 0.1, "origin": 0.5, "vertex": 1.0}


@pytest.mark.parametrize("weights", ["fixed", "uncertainty"])
def test_the_loss_is_the_weighted_sum_of_means_over_what_each_task_is_about(weights):
    network, batch = network_of(), some_batch()
    objective = objective_of({"tasks": ALL, "weights": weights}, network, {"log": TARGETS["log"]})
    network.double()
    if weights == "uncertainty":
        torch.nn.init.normal_(network.head.log_variances)
    sums = objective(network, batch)
    means = _restated(objective, network, batch)
    parts = {name: WEIGHTS[name] * means[name] for name in means}
    if weights == "uncertainty":
        known = dict(zip(ALL, network.head.log_variances.tolist(), strict=True))
        parts = {name: part * math.exp(-known[name]) + known[name] for name, part in parts.items()}
    assert sums.loss.item() / sums.size.item() == pytest.approx(sum(parts.values()), rel=1e-10)
    for name, mean in means.items():
        metric = f"{name}_loss"
        found = sums.metrics[metric] / sums.weights[metric]
        assert found.item() == pytest.approx(mean, rel=1e-10)
    # The gradient of all weights of the head against differences, in one direction.
    sums.loss.backward()
    parameters = list(network.head.parameters())
    torch.manual_seed(1)
    directions = [torch.randn_like(p) for p in parameters]
    step, ends = 1e-6, []
    for side in (1, -1):
        with torch.no_grad():
            torch._foreach_add_(parameters, directions, alpha=side * step)
            ends.append(objective(network, batch).loss.item())
            torch._foreach_add_(parameters, directions, alpha=-side * step)
    expected = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-5)


def test_jets_that_lack_a_target_do_not_count_for_it():
    network, batch = network_of(), some_batch()
    objective = objective_of({"tasks": {"log": {}}}, network, {"log": TARGETS["log"]})
    network.double()
    there = np.flatnonzero(np.isfinite(batch.jet_column("genmass").numpy()))
    all_jets, some = objective(network, batch), objective(network, batch.take(there))
    torch.testing.assert_close(
        all_jets.loss / all_jets.size, some.loss / some.size, rtol=1e-6, atol=0
    )
    none = np.setdiff1d(np.arange(len(batch)), there)
    lacking = objective(network, batch.take(none))
    assert lacking.loss.item() == 0
    lacking.loss.backward()
    assert all(not p.grad.any() for p in network.head.parameters() if p.grad is not None)


def test_vertices_by_coordinates_are_those_that_are_close():
    network, batch = network_of(), some_batch()
    task = {"column": ["x", "y"], "within": 0.01}
    objective = objective_of({"tasks": {"vertex": task}}, network)
    network.double()
    sums = objective(network, batch)
    pairs = tasks.look(network, batch, with_particles=True).vertex_logits(network.head).tolist()
    x, y = (batch.particle_column(name).tolist() for name in "xy")
    offsets, losses, total, place = batch.offsets.tolist(), 0.0, 0.0, 0
    for jet, w in enumerate(batch.jet_weights.tolist()):
        for i in range(offsets[jet], offsets[jet + 1]):
            for j in range(offsets[jet], i + 1):
                p = 1 / (1 + math.exp(-pairs[place]))
                place += 1
                if i != j and math.isfinite(x[i]) and math.isfinite(x[j]):
                    share = math.hypot(x[i] - x[j], y[i] - y[j]) <= 0.01
                    losses -= w * math.log(p if share else 1 - p)
                    total += w
    found = sums.metrics["vertex_loss"] / sums.weights["vertex_loss"]
    assert found.item() == pytest.approx(losses / total, rel=1e-10)


def test_particles_of_other_kinds_do_not_count():
    batch = some_batch(4)
    number = batch.num_particles
    columns = {
        "kind": (np.arange(number) % 2).astype(np.uint8),
        "origin": np.full(number, 5),
        "vertex": np.zeros(number, dtype=np.int64),
    }
    packed, types = pack_columns(columns, number)
    kinds = (("tracks", True), ("towers", True))
    batch = replace(batch, columns=torch.from_numpy(packed), column_types=types, kinds=kinds)
    task = read_options(OriginTask, {**ORIGIN, "kinds": "towers"})
    assert origins(batch, task).tolist() == [-1 + n % 2 for n in range(number)]
    vertex = read_options(VertexTask, {"column": "vertex", "kinds": ["tracks"]})
    assert known_vertices(batch, vertex).isnan()[:, 0].tolist() == [
        n % 2 == 1 for n in range(number)
    ]
    with pytest.raises(InputError, match="no particles of that kind; there are tracks, towers"):
        origins(batch, task.model_copy(update={"kinds": ("muons",)}))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_labels_and_weights_of_classes(smoothing):
    torch.manual_seed(0)
    batch = some_batch()
    logits = torch.randn(len(batch), 2, dtype=torch.float64, requires_grad=True)
    options = ClassificationOptions(label_smoothing=smoothing, class_weights={"QCD": 3.0})
    sums = classification_sums(logits, batch, options, ("top", "QCD"))
    expected = weights = 0.0
    rows = zip(logits.tolist(), batch.labels.tolist(), batch.jet_weights.tolist(), strict=True)
    for own, label, weight in rows:
        counted = weight * (3.0 if label == 1 else 1.0)
        logs = [x - math.log(sum(map(math.exp, own))) for x in own]
        spread = [smoothing / 2 + (1 - smoothing) * (n == label) for n in range(2)]
        expected -= counted * sum(q * p for q, p in zip(spread, logs, strict=True))
        weights += counted
    assert sums.loss.item() == pytest.approx(expected, rel=1e-12)
    assert sums.weight.item() == pytest.approx(weights)
    assert torch.autograd.gradcheck(
        lambda x: classification_sums(x, batch, options, ("top", "QCD")).loss, (logits,)
    )


def test_several_labels_a_jet_are_questions_of_their_own():
    torch.manual_seed(0)
    names = ("top", "QCD", "b")
    jets = toy_jets(6, 1)
    carried = np.array(list(itertools.product([False, True], repeat=3)))[:6]
    batch = make_batch(with_memberships(write_columns(jets), carried, names))
    batch = batch.to("cpu", torch.float64)
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    options = ClassificationOptions(multi_label=True, label_smoothing=0.2, class_weights={"b": 4.0})
    sums = classification_sums(logits, batch, options, names)
    expected = 0.0
    for own, labels, weight in zip(
        logits.tolist(), carried.tolist(), batch.jet_weights.tolist(), strict=True
    ):
        for x, label, factor in zip(own, labels, (1.0, 1.0, 4.0), strict=True):
            p, q = 1 / (1 + math.exp(-x)), 0.8 * label + 0.1
            expected -= weight * factor / 6 * (q * math.log(p) + (1 - q) * math.log(1 - p))
    assert sums.loss.item() == pytest.approx(expected, rel=1e-12)
    assert torch.isfinite(batch.jet_column("genmass")).any()  # the other columns are still there


@pytest.mark.parametrize(
    ("model", "content", "sentence"),
    [
        ("pfn", {"origin": ORIGIN}, "origin: pfn makes nothing of single particles"),
        ("omnijet", {"classify": {}}, "omnijet makes its logits in a way of its own"),
    ],
)
def test_networks_that_cannot_are_refused(model, content, sentence):
    with pytest.raises(InputError, match=sentence):
        objective_of({"tasks": content}, small_network(model))
