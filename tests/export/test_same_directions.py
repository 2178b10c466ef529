"""Particles in the same direction: why exported pair features differ there, and that it is said.

Torch rounds the logarithm of a rapidity and the angle of an azimuth in float32, ONNX Runtime from
float64. Both are right to the last bit; of two particles in one direction, that bit is all of Δ.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.untrained import small_run
from parttag.export.check import comparable, near_ties, own_values
from parttag.export.export import Exporter
from parttag.export.options import ExportOptions
from parttag.export.runtime import Session
from parttag.jets.batch import make_batch
from parttag.testing import toy_jets

LENGTHS = [12] * 40


def jets_of_towers():
    """Return toy jets, in every second of which a quarter of the particles lies on others."""
    jets = toy_jets(lengths=LENGTHS, seed=8)
    p4 = jets.p4.reshape(len(LENGTHS), 12, 4).copy()
    shares = np.random.default_rng(2).uniform(0.1, 0.9, (20, 3, 1)).astype(np.float32)
    # The product is rounded for each component: the direction is the same but for the last bits.
    p4[::2, 9:] = p4[::2, :3] * shares
    return replace(jets, p4=p4.reshape(-1, 4))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run("particle_transformer", tmp_path_factory.mktemp("runs") / "part")


def exported(run, batch):
    exporter = Exporter.of_run(run, ExportOptions(output="logits"))
    session = Session(exporter.build().SerializeToString(), threads=1)
    feeds = {i.name: i.padded(batch, batch.max_length + 1) for i in exporter.inputs}
    return comparable(session.run(feeds)[0], "logits")


def test_jets_with_particles_in_one_direction_are_counted_apart(run):
    batch = make_batch(jets_of_towers())
    tied = near_ties(run.model, batch)
    assert tied.tolist() == [jet % 2 == 0 for jet in range(len(LENGTHS))]
    apart = np.abs(exported(run, batch) - own_values(run.model, batch, "logits")).max(axis=1)
    assert apart[~tied].max() <= 1e-5
    assert not near_ties(run.model, make_batch(toy_jets(lengths=LENGTHS, seed=9))).any()


def test_with_the_same_rounding_their_scores_are_the_same(run, monkeypatch):
    batch = make_batch(jets_of_towers())
    # What rapidities and azimuths are computed with, rounded from float64 as in the model.
    for name in ("log", "arctan2"):
        plain = getattr(torch, name)
        monkeypatch.setattr(
            torch, name, lambda *of, plain=plain: plain(*(value.double() for value in of)).float()
        )
    own = own_values(run.model, batch, "logits")
    monkeypatch.undo()
    assert np.abs(exported(run, batch) - own).max() <= 1e-5


def test_networks_without_a_pair_bias_have_no_such_jets(tmp_path):
    plain = small_run("plain_transformer", tmp_path / "plain")
    batch = make_batch(jets_of_towers())
    assert not near_ties(plain.model, batch).any()
    apart = np.abs(exported(plain, batch) - own_values(plain.model, batch, "logits"))
    assert apart.max() <= 1e-5
