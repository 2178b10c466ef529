"""``check_network`` finds the faults that it is for, in networks that have one each."""

import pytest
import torch

from helpers.plugins import registers_kept
from parttag.models import MODELS, register_model
from parttag.models.pfn import PFN, PFNOptions
from parttag.models.tagger import Tagger
from parttag.testing import check_network

SMALL = {"particle_dims": (4,), "jet_dims": (4,)}


class OfOtherJets(PFN):
    """What a batch norm over the batch does."""

    def encode(self, batch):
        encoded = super().encode(batch)
        return encoded - encoded.mean(dim=0) if len(batch) else encoded


class OfRows(PFN):
    """What forgetting the rows beyond the last particle does."""

    def encode(self, batch):
        return super().encode(batch) + batch.p4[batch.num_particles :].sum()


class OfOrder(PFN):
    """What a convolution along the particles does, or a position."""

    def encode(self, batch):
        first = batch.offsets[:-1].clamp(max=max(batch.num_particles - 1, 0))
        has_any = torch.as_tensor(batch.lengths > 0)[:, None]
        hardest = batch.p4[first, :1] if batch.num_particles else batch.p4.new_zeros(len(batch), 1)
        return super().encode(batch) + torch.where(has_any, hardest, 0).tanh()


class OfSomeJet(PFN):
    """What indexing the first particle of every jet does to an empty one."""

    def encode(self, batch):
        return super().encode(batch) + batch.p4[batch.offsets[:-1]].sum() * 0


class Unused(PFN):
    """A parameter that nothing depends on."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.backbone.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))


class Elsewhere(PFN):
    """A parameter that is neither of the backbone nor of the head."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode(self, batch):
        return super().encode(batch) * self.scale


class Forgetful(PFN):
    """Weights that no checkpoint has."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.drawn = torch.rand(())

    def encode(self, batch):
        return super().encode(batch) * self.drawn


@pytest.fixture(autouse=True)
def _registers():
    with registers_kept():
        yield


def registered(network: type[Tagger]) -> type[Tagger]:
    """Let the options of a Particle Flow Network make another one."""
    del MODELS._entries["pfn"]
    return register_model("pfn")(network)


@pytest.mark.parametrize(
    ("network", "law"),
    [
        (OfOtherJets, "logits do not depend on other jets"),
        (OfRows, "rows beyond the last particle change no logit"),
        (OfOrder, "logits do not change when the particles of each jet are permuted"),
        (OfSomeJet, "jets without particles"),
        (Unused, "get gradients unless frozen"),
        (Elsewhere, "parameters are the backbone's or the head's"),
        (Forgetful, "weights from what a checkpoint holds"),
    ],
)
def test_a_network_that_breaks_a_law_is_told_which(network, law):
    with pytest.raises(AssertionError, match=f"{network.__name__} breaks a law: .*({law})"):
        check_network(registered(network), SMALL)


def test_order_may_mean_something():
    check_network(registered(OfOrder), SMALL, is_ordered=True)


def test_options_may_be_given_whole_and_random_numbers_go_on():
    before = torch.get_rng_state()
    check_network(PFN, PFNOptions(**SMALL), features="kin", num_classes=2)
    assert torch.equal(torch.get_rng_state(), before)
