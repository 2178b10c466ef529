"""``explain``: what was planted in toy jets comes first, and the numbers say what they claim."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from helpers.kinds import kind_jets
from helpers.networks import SMALL
from helpers.untrained import small_run
from parttag.api.run import Run
from parttag.errors import InputError
from parttag.evaluation.attributions import (
    GivenInputs,
    Pool,
    class_attention,
    integrated_gradients,
    log_odds_of,
)
from parttag.evaluation.explain import Explanation
from parttag.evaluation.report.jet_pictures import jet_chart
from parttag.evaluation.report.looks import explained_looks
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.models import Tagger, build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFN
from parttag.runs.config import build_config
from parttag.runs.run import Run as PlainRun
from parttag.testing import toy_batch, toy_jets

LENGTH = 6
# For the network of each case, what it reads, and how it is trained: rate and steps.
CASES = {
    "pfn": (["log_pt", "delta_r", "charge", "tanh_d0"], 0.02, 60),
    "particle_transformer": (["log_pt", "delta_r", "charge", "is_muon", "tanh_d0"], 0.01, 60),
}


def planted_jets(case: str, number: int, seed: int) -> tuple[JetArrays, np.ndarray]:
    """Return jets whose class one particle tells, and the place of that particle.

    For the Particle Transformer it is the charge of the one muon among charges at random, so that
    the network has to look at it; for the Particle Flow Network the one charge that is large.
    """
    generator = np.random.default_rng(seed)
    jets = toy_jets(seed=seed, lengths=[LENGTH] * number)
    labels = generator.permutation(np.arange(number) % 2)
    place = generator.integers(0, LENGTH, number)
    row = np.arange(number) * LENGTH + place
    extra = jets.extra.copy()
    charge, is_muon = (extra[:, jets.extra_names.index(n)] for n in ("charge", "is_muon"))
    is_muon[:] = 0
    is_muon[row] = 1
    if case == "pfn":
        charge[:] = generator.uniform(-0.1, 0.1, len(extra))
    else:
        charge[:] = generator.choice([-1.0, 1.0], len(extra))
    charge[row] = np.where(labels == 0, 1, -1) * (2 if case == "pfn" else 1)
    # The momenta of one jet for all: nothing of them tells the classes apart.
    p4 = np.tile(jets.p4[:LENGTH], (number, 1))
    jet_p4, axis = (np.tile(x[:1], (number, 1)) for x in (jets.jet_p4, jets.jet_axis))
    flags = np.stack([labels == 0, labels == 1], axis=1).astype(np.uint8)
    return replace(jets, extra=extra, p4=p4, jet_p4=jet_p4, jet_axis=axis, labels=flags), place


def trained(case: str, directory: Path) -> Run:
    """Return a run, in memory, of a network that has learned the planted particle."""
    features, rate, steps = CASES[case]
    model = {"name": case, **SMALL[case]}
    if case == "particle_transformer":
        model |= {"num_layers": 1, "num_class_layers": 1, "dropout": 0.0, "trim": False}
    classes = {"top": ["label_top"], "QCD": ["label_QCD"]}
    config = build_config({"data": {"classes": classes}, "features": features, "model": model})
    torch.manual_seed(0)
    network = build_model(config.model, config.network_features, 2)
    if case == "particle_transformer":
        # Particles do not mix: what one of them knows reaches the class token from it alone.
        for block in network.backbone.blocks:
            torch.nn.init.zeros_(block.out.weight).requires_grad_(False)
    jets, _ = planted_jets(case, 400, seed=1)
    batch = make_batch(jets, jets.labels.argmax(axis=1))
    chosen = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(chosen, lr=rate)
    for step in range(steps):
        part = batch.span(50 * (step % 8), 50 * (step % 8) + 50)
        optimizer.zero_grad()
        # Logits stay small: a step function has no gradients to integrate.
        loss = torch.nn.functional.cross_entropy(network(part), part.labels, label_smoothing=0.15)
        loss.backward()
        optimizer.step()
    return Run.of(PlainRun(directory, config, network.eval(), ("top", "QCD")))


@pytest.fixture(scope="module", params=CASES)
def of_case(request, tmp_path_factory) -> tuple[Run, JetArrays, np.ndarray]:
    run = trained(request.param, tmp_path_factory.mktemp("planted"))
    return run, *planted_jets(request.param, 40, seed=2)


@pytest.fixture(scope="module")
def planted(of_case) -> tuple[Explanation, np.ndarray]:
    run, jets, place = of_case
    return run.explain(jets, num_jets=40, steps=16), place


def test_the_informative_feature_comes_first(planted):
    found, _ = planted
    informative = {"charge", "is_muon"} & set(found.attributions.names)
    number = len(informative)
    assert set(found.ranking[:number]) == informative
    assert set(sorted(found.share, key=found.share.get)[-number:]) == informative
    assert sum(found.share[name] for name in informative) > 0.6
    features = found.importances.features
    for name in informative:
        assert features[name].loss_rise.value > 5 * features[name].loss_rise.error
        # Half of the jets are told right by chance.
        assert features[name].accuracy_fall.value == pytest.approx(0.5, abs=0.15)
    rest = [features[name].loss_rise.value for name in set(features) - informative]
    assert max(rest) < 0.2 * features[found.ranking[0]].loss_rise.value
    assert found.lines()[0][0] in informative


def test_the_informative_particle_comes_first(planted):
    found, place = planted
    gradients = found.attributions.of_particles.reshape(-1, LENGTH)
    rows = np.arange(len(place))
    if found.attention is None:
        assert (gradients.argmax(axis=1) == place).mean() > 0.95
        return
    attention = found.attention.mean(axis=0).reshape(-1, LENGTH)
    assert (attention.argmax(axis=1) == place).mean() > 0.95
    # Layer norms make single gradients noisy; over all jets it is plain which particle counts.
    others = (gradients.sum(axis=1) - gradients[rows, place]) / (LENGTH - 1)
    assert gradients[rows, place].mean() > 4 * np.abs(others.mean())


def test_the_picture_of_a_jet_lights_up_the_informative_particle(of_case):
    """In what the browser draws: the field of the color is largest for that particle."""
    run, jets, place = of_case
    logits = run.predict(jets).logits
    labels = jets.labels.argmax(axis=1)
    names = [""] * len(jets)
    looks = list(explained_looks(run, jets, jets, logits, labels, names, names))
    lit = {"gradient": 0, "attention": 0}
    for look, own in zip(looks, place, strict=True):
        chart = jet_chart(look)
        for panel in chart.spec["hconcat"]:
            field = panel["encoding"]["color"]["field"]
            values = chart.spec["data"]["columns"][field]
            lit[field] += int(np.argmax(values)) == own
        assert chart.spec["data"]["columns"]["place"] == [1, 2, 3, 4, 5, 6]
    field = "gradient" if isinstance(run.model, PFN) else "attention"
    assert lit[field] > 0.95 * len(looks)


def test_gradients_sum_up_to_the_log_odds(planted):
    found, _ = planted
    assert found.typical_odds == pytest.approx(
        np.sqrt(((found.scores.logits[:, 0] - found.scores.logits[:, 1]) ** 2).mean()), rel=1e-4
    )
    total = found.attributions.values.sum(axis=1).reshape(-1, LENGTH).sum(axis=1)
    if found.attention is None:
        assert found.typical_gap < 0.2 * found.typical_odds
        assert (total > 0).mean() > 0.8  # of the class that the network gives each jet
    else:
        # Logits that change in steps: single jets are noisy, their mean is not.
        assert total.mean() > 0


class Linear(Tagger):
    """A network whose log-odds are a sum over particles of what is linear in their features."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        self.feature_names, self.max_particles = tuple(CASES["pfn"][0]), None

    def encode(self, batch):
        each = particle_features(batch, self.feature_names) @ self.weight
        return torch.zeros(len(batch)).index_add(0, batch.jet_of_particle, each)[:, None]

    def head(self, encoded):
        return torch.cat([encoded, torch.zeros_like(encoded)], dim=1)


def test_gradients_of_a_linear_network_are_known():
    """Of a network that is linear, the attribution is weight times distance from the start."""
    batch = toy_batch(5, lengths=[3, 1, 4, 2, 2])
    linear = Linear()
    given = GivenInputs.of(linear, batch)
    start = torch.tensor([0.1, 0.2, 0.3, 0.4])
    pool = Pool(start[None], np.zeros(1, dtype=np.int64))
    found = integrated_gradients(linear, batch, np.zeros(5, dtype=np.int64), steps=3, pool=pool)
    expected = (given.table - start) * linear.weight.detach()
    torch.testing.assert_close(torch.from_numpy(found.values), expected)
    assert np.abs(found.gap).max() < 1e-4
    of_other = integrated_gradients(linear, batch, np.ones(5, dtype=np.int64), steps=3, pool=pool)
    np.testing.assert_allclose(of_other.values, -found.values, rtol=1e-5)
    # From particles at random, the mean of the starts is that of the particles.
    many = integrated_gradients(linear, batch, np.zeros(5, dtype=np.int64), steps=40)
    expected = (given.table - given.table.mean(dim=0)) * linear.weight.detach()
    spread = given.table.std(dim=0) * linear.weight.detach().abs()
    assert (np.abs(many.values - expected.numpy()) < 5 * spread.numpy() / 6 + 1e-6).all()


@pytest.mark.parametrize("block", ["normformer", "swiglu"])
def test_attention_is_that_of_the_definition(block):
    options = ParticleTransformerOptions(**SMALL["particle_transformer"], block=block)
    torch.manual_seed(1)
    network = build_model(options, "kin", 2).eval()
    batch = toy_batch(4, lengths=[3, 7, 1, 5])
    found = class_attention(network, batch)
    assert found.shape == (2, 16)

    # Restated: softmax over the token and the particles, jet by jet and head by head.
    first = network.backbone.class_blocks[0]
    with torch.no_grad():
        layout = network._layout(batch)
        particles = network.backbone.particles(*network._inputs(batch), layout)
        token = network.backbone.class_token[None]
        width = token.shape[1]
        weight, bias = first.qkv.weight, first.qkv.bias
        query = (token @ weight[:width].T + bias[:width])[0].view(4, -1)
        row = 0
        for length in batch.lengths:
            seen = torch.cat([token, particles[row : row + length]])
            normed = first.pre_attention_norm(seen)
            keys = (normed @ weight[width : 2 * width].T + bias[width : 2 * width]).view(
                length + 1, 4, -1
            )
            logits = (keys * query).sum(dim=-1) / query.shape[1] ** 0.5
            expected = logits.softmax(dim=0)[1:].mean(dim=1)
            np.testing.assert_allclose(found[0, row : row + length], expected, rtol=1e-4)
            row += length


@pytest.mark.parametrize("name", ["pfn_original", "lorentz_net", "particle_net", "lgn"])
def test_other_networks_are_explained_too(name, tmp_path):
    run = small_run(name, tmp_path / "run")
    found = run.explain(toy_jets(12), num_jets=12, steps=2)
    assert found.attention is None
    assert "no class tokens" in " ".join(found.sentences())
    reads = name == "particle_net"
    assert ("log_pt" in found.share) == reads
    assert ("four-momenta" in found.share) == (not reads)
    assert found.importances.momenta is not None
    assert np.isfinite(found.attributions.values).all()
    # The original Particle Flow Network turns its jets without gradients.
    assert found.attributions.values.any() == (name != "pfn_original")


def test_kinds_of_particles_are_exchanged_together(tmp_path):
    features = {
        "charged": ["log_pt", "delta_eta"],
        "neutral": ["log_pt", "delta_r"],
        "vertices": ["log_pt"],
    }
    run = small_run("pfn", tmp_path / "run", features=features)
    found = run.explain(kind_jets(), num_jets=6, steps=2)
    assert list(found.importances.kinds) == ["charged", "neutral", "vertices"]
    names = ["charged.log_pt", "charged.delta_eta", "neutral.log_pt", "neutral.delta_r"]
    assert list(found.share)[:4] == names
    values = dict(zip(found.attributions.names, found.attributions.values.T, strict=True))
    assert not (values["charged.log_pt"] * values["neutral.log_pt"]).any()
    assert values["charged.log_pt"].any()


def test_given_features_change_nothing_by_themselves(tmp_path):
    run = small_run("particle_transformer", tmp_path / "run")
    batch = toy_batch(9)
    with torch.no_grad():
        given = GivenInputs.of(run.model, batch)
        # Rows that lie elsewhere in memory are summed up in another order.
        torch.testing.assert_close(run.model(given.batch), run.model(batch), rtol=1e-4, atol=1e-5)


def test_log_odds_of_several_classes():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    chances = logits.softmax(dim=1)
    found = log_odds_of(logits, torch.tensor([1, 0]))
    expected = torch.stack([chances[0, 1], chances[1, 0]])
    torch.testing.assert_close(found, (expected / (1 - expected)).log())


def test_files_and_pictures_are_written_or_nothing(planted, tmp_path):
    found, _ = planted
    found.save(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert content["importance"]["features"]["charge"]["loss_rise"]["value"] > 0
    assert content["num_jets"] == 40
    with h5py.File(tmp_path / "out" / "particles.h5") as file:
        assert len(file["gradient"]) == 40
        assert len(file["gradient_charge"][5]) == LENGTH
        assert ("attention" in file) == (found.attention is not None)
    assert (tmp_path / "out" / "importance.png").stat().st_size > 1000
    with pytest.raises(InputError, match="exists already"):
        found.save(tmp_path / "out")
    assert "charge" in repr(found)


def test_bad_input_is_refused_in_a_sentence(tmp_path):
    run = small_run("pfn", tmp_path / "run")
    with pytest.raises(InputError, match=r'target="W" is none of top, QCD'):
        run.explain(toy_jets(4), target="W")
    with pytest.raises(InputError, match="num_jets=0: give 1 or more"):
        run.explain(toy_jets(4), num_jets=0)
    jets = toy_jets(4)
    with pytest.raises(InputError, match="no good jet"):
        run.explain(replace(jets, p4=jets.p4 * np.nan), num_jets=4)


def test_jets_without_classes_have_changes_of_scores_alone(tmp_path):
    run = small_run("pfn", tmp_path / "run")
    jets = toy_jets(10)
    unknown = replace(jets, labels=jets.labels[:, :0], label_names=())
    found = run.explain(unknown, num_jets=10, steps=2, target="QCD")
    one = found.importances.features["log_pt"]
    assert np.isnan(one.loss_rise.value)
    assert one.score_change.value > 0
    assert "no classes" in " ".join(found.sentences())
    found.figures()
