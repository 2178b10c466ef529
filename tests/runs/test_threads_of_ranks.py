"""How many threads ranks have, and the evaluation after them: never more than the user allows."""

import os

import pytest
import torch

from parttag.api.command_line import use_all_cores
from parttag.runs.ranks import threads_of_rank


@pytest.fixture
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("said", "of_rank", "afterwards"), [(None, 4, 8), ("1", 1, 1), ("6,2", 4, 6), ("64", 4, 8)]
)
def test_threads_are_those_that_the_user_allows(cores, said, of_rank, afterwards):
    used = []
    if said is not None:
        cores.setenv("OMP_NUM_THREADS", said)
    given = threads_of_rank(2)
    assert given["OMP_NUM_THREADS"] == str(of_rank)
    for name, value in given.items():  # what one of the ranks sees
        cores.setenv(name, value)
    cores.setenv("RANK", "0")
    cores.setattr(torch, "set_num_threads", used.append)
    use_all_cores()
    assert used == [afterwards]
