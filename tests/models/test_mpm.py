"""The encoder of masked particle modelling: sizes, inputs, and what it learns of them."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from parttag.models import build_model, mpm
from parttag.models.layers.normformer import dense_network
from parttag.models.mpm import MPMOptions, Standardization
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64


@pytest.mark.parametrize(
    ("width", "hidden_dim", "num_layers", "millions"),
    [(256, 256, 4, 1.83), (512, 256, 8, 10.9), (1024, 512, 8, 43.3)],
)
def test_the_papers_sizes_have_the_published_number_of_parameters(
    width, hidden_dim, num_layers, millions
):
    options = MPMOptions(width=width, hidden_dim=hidden_dim, num_layers=num_layers)
    with torch.device("meta"):
        network = build_model(options, "kin", 2)
        head = dense_network(width, hidden_dim, 427)
    parameters = [*network.backbone.parameters(), *head.parameters()]
    count = sum(p.numel() for p in parameters) / 1e6
    assert f"{count:.3g}" == f"{millions:.3g}"


def test_inputs_are_cut_angles_and_the_logarithm_of_one_and_the_momentum():
    batch = toy_batch(lengths=[2, 1]).to("cpu", torch.float64)
    eta, phi = batch.jet_axis[1].tolist()
    pt = 7.0
    away = [pt * math.cos(phi + 0.1), pt * math.sin(phi + 0.1), pt * math.sinh(eta - 1)]
    batch.p4[2] = torch.tensor([*away, pt * math.cosh(eta - 1)])
    expected = torch.tensor([-0.8, 0.1, math.log(8)], dtype=torch.float64)
    torch.testing.assert_close(mpm._inputs(batch)[2], expected, rtol=1e-6, atol=1e-6)


class TestStandardization:
    def test_it_is_by_mean_and_deviation_of_all_rows_so_far(self):
        layer = Standardization(2).double()
        rows = 3 + 2 * torch.randn(50, 2, dtype=torch.float64)
        layer(rows[:20])
        layer(rows[:0])
        output = layer(rows[20:])
        expected = (rows[20:] - rows.mean(dim=0)) / rows.std(dim=0, unbiased=False)
        torch.testing.assert_close(output, expected, **FLOAT64)
        torch.testing.assert_close(layer.eval()(rows[20:]), expected, **FLOAT64)

    def test_it_is_fixed_after_enough_rows_and_in_evaluation(self, monkeypatch):
        monkeypatch.setattr(mpm, "_MAX_COUNT", 30)
        layer = Standardization(2).double()
        rows = torch.randn(30, 2, dtype=torch.float64)
        layer(rows[:29])
        layer(rows[29:])
        expected = layer.eval()(rows)
        layer.train()(rows + 5)
        assert torch.equal(layer.eval()(rows), expected)

    def test_inputs_that_do_not_vary_are_left_in_scale(self):
        layer = Standardization(1)
        assert torch.equal(layer.eval()(torch.ones(3, 1)), torch.ones(3, 1))  # knows nothing yet
        assert torch.equal(layer.train()(torch.ones(3, 1)), torch.zeros(3, 1))
        assert layer.eval()(torch.full((1, 1), 2.0)).item() == 1


def test_standardization_learns_from_visible_particles_only():
    network = build_model(MPMOptions(width=8, hidden_dim=8, num_layers=1, num_heads=2), "kin", 2)
    batch = toy_batch(lengths=[6, 4])
    hidden = np.zeros(10, dtype=bool)
    hidden[[0, 7]] = True
    network.encode_particles(batch, hidden, torch.ones(8))
    assert network.backbone.standardization.count == 8


def test_width_must_split_into_the_encoders_heads():
    with pytest.raises(ValidationError, match="width, 30, is not a multiple of num_heads, 8"):
        MPMOptions(width=30)
