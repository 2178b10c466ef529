"""Every network of the register obeys the laws of ``parttag.testing``."""

import pytest

from helpers.networks import NETWORKS, SMALL, small_network
from parttag.models import MODELS
from parttag.testing.laws import LAWS, check_order_of_particles


def test_every_network_is_in_the_test():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_networks_obey_the_law(name, law):
    law(small_network(name))


# P-CNN convolves along the order of particles in pT, and OmniJet reads them in it: there the order
# is information.
ORDERED = ("pcnn", "omnijet", "omnijet_with_leaks")


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ORDERED])
def test_order_of_particles_does_not_matter(name):
    check_order_of_particles(small_network(name))
