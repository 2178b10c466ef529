"""Networks and objectives give the numbers that they gave before: tests/golden/training.json.

Where the processor and torch are those that made the file, every bit must be the same. Elsewhere
float32 sums are rounded in another order, and the numbers agree within ``FLOAT32_STEPS``. A number
that is meant to move is written anew by scripts/update_golden.py.
"""

import copy
import json
import math

import numpy as np
import pytest

from helpers.golden import CASES, PATH, fingerprint, measure, train_others
from parttag.models import MODELS
from parttag.runs.config import run_config_class
from parttag.testing.tolerances import FLOAT32_STEPS

GOLDEN = json.loads(PATH.read_text())
ON_SAME_MACHINE = fingerprint() == GOLDEN["made_with"]
# An accuracy is a share of 30 jets or 60 views, of which one may lie on the boundary.
ONE_JET = {"rtol": 0.0, "atol": 1.01 / 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden")
    train_others(path)
    return path


def assert_same(found: dict, golden: dict, *, on_same_machine: bool) -> None:
    """Compare the numbers of a case: to the last bit if on the machine that made the file."""
    if on_same_machine:
        assert found == golden
        return
    for kind in ("train_loss", "val"):
        assert len(found[kind]) == len(golden[kind])
    assert found["output"]["shape"] == golden["output"]["shape"]
    losses = [[float.fromhex(loss) for loss in n["train_loss"]] for n in (found, golden)]
    np.testing.assert_allclose(*losses, **FLOAT32_STEPS)
    for name, value in golden["val"].items():
        tolerance = ONE_JET if name.endswith("accuracy") else FLOAT32_STEPS
        values = float.fromhex(found["val"][name]), float.fromhex(value)
        np.testing.assert_allclose(*values, **tolerance, err_msg=name)
    outputs = found["output"]["values"], golden["output"]["values"]
    np.testing.assert_allclose(*outputs, **FLOAT32_STEPS)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_have_not_moved(name, folder):
    found = measure(CASES[name], folder)
    assert_same(found, GOLDEN["cases"][name], on_same_machine=ON_SAME_MACHINE)


def test_every_network_classifies_in_a_case():
    tested = {case.model for case in CASES.values() if case.objective == "classify"}
    assert tested == set(MODELS)


def test_every_objective_has_a_case():
    objective = run_config_class().model_json_schema()["properties"]["objective"]
    assert {case.objective for case in CASES.values()} == set(objective["discriminator"]["mapping"])


def test_the_file_has_the_cases_and_no_others():
    assert set(GOLDEN["cases"]) == set(CASES)


@pytest.mark.parametrize("on_same_machine", [True, False])
@pytest.mark.parametrize("kind", ["train_loss", "val", "output"])
def test_a_number_that_moves_is_seen(kind, on_same_machine):
    golden = GOLDEN["cases"]["classify-pfn"]
    moved = copy.deepcopy(golden)
    factor = 1 + math.ulp(1.0) if on_same_machine else 1.001
    if kind == "train_loss":
        moved[kind][-1] = (float.fromhex(moved[kind][-1]) * factor).hex()
    elif kind == "val":
        moved[kind]["val_loss"] = (float.fromhex(moved[kind]["val_loss"]) * factor).hex()
    else:
        moved[kind]["values"][-1] *= factor
    assert_same(golden, golden, on_same_machine=on_same_machine)
    with pytest.raises(AssertionError):
        assert_same(moved, golden, on_same_machine=on_same_machine)
