"""The script that looks at licences finds what it should find."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from check_licences import closure, problems


def test_nothing_that_parttag_needs_is_under_the_gpl():
    core = closure()
    assert {"torch", "numpy", "uproot", "h5py"} <= core.keys()
    assert problems(core, closure("sim")) == []


def test_a_package_under_the_gpl_is_for_extras_only():
    assert problems({}, {"pythia8mc": "GNU GPL v2 or later"}) == []
    assert problems({"pythia8mc": "GNU GPL v2 or later"}, {}) == [
        "pythia8mc (GNU GPL v2 or later) is needed without extras"
    ]


def test_a_package_without_a_licence_is_named():
    assert problems({"a": ""}, {"b": "all rights reserved"}) == [
        "b states no licence that is known here: 'all rights reserved'",
        "a states no licence that is known here: ''",
    ]
