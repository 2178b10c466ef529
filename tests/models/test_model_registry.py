"""What a network or an objective must say to be registered."""

from typing import Literal

import pytest

from helpers.plugins import registers_kept
from parttag.errors import InputError
from parttag.models import MODELS, ModelOptions, register_model
from parttag.models.pfn import PFN
from parttag.options import Options
from parttag.training.objectives import Classify, register_objective


class Nameless(ModelOptions):
    width: int = 3


class Misnamed(ModelOptions):
    name: Literal["other"] = "other"


class Open(ModelOptions):
    name: str = "net"


class Foreign(Options):
    name: Literal["net"] = "net"


@pytest.fixture(autouse=True)
def _registers():
    with registers_kept():
        yield


@pytest.mark.parametrize("options", [Nameless, Misnamed, Open])
def test_options_without_the_name_are_refused_with_the_line_that_is_missing(options):
    network = type("Net", (PFN,), {"options_class": options})
    line = f'give {options.__name__} the line name: Literal\\["net"\\] = "net"'
    with pytest.raises(InputError, match=line):
        register_model("net")(network)
    assert "net" not in MODELS


def test_options_of_another_kind_are_refused():
    network = type("Net", (PFN,), {"options_class": Foreign})
    with pytest.raises(InputError, match="Net an options_class that derives from ModelOptions"):
        register_model("net")(network)
    objective = type("Goal", (Classify,), {"options_class": Misnamed})
    with pytest.raises(
        InputError, match="Goal an options_class that derives from ObjectiveOptions"
    ):
        register_objective("other")(objective)


def test_a_taken_name_is_refused():
    network = type("Net", (PFN,), {})
    with pytest.raises(InputError, match="there is a network of the name pfn already"):
        register_model("pfn")(network)
    assert MODELS["pfn"].network is PFN
