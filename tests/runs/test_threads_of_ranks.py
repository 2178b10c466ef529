"""How many threads ranks have: their share of the cores, never more than the user allows."""

import os

import pytest

from parttag.runs.ranks import threads_of_rank


@pytest.mark.parametrize(
    ("said", "of_rank"), [(None, 4), ("1", 1), ("6,2", 4), ("64", 4), ("none", 4)]
)
def test_threads_are_those_that_the_user_allows(monkeypatch, said, of_rank):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_of_rank(2) == {"OMP_NUM_THREADS": str(of_rank)}
