"""What a stranger on the same machine or network can do to ranks that train together."""

import ast
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import parttag
from helpers.ranks import run_forked
from parttag.errors import InputError
from parttag.ops.collectives import gather_tensors
from parttag.training.distributed import Ranks

SOURCE = Path(parttag.__file__).parent


@cache
def _calls():
    """Return file, function, last name and keywords of every call in the package."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func
                name = getattr(function, "attr", getattr(function, "id", ""))
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                found.append((path, ast.unparse(function), name, keywords))
    return found


def test_no_pickle_goes_between_ranks():
    collectives = {name for name in dir(dist) if "object" in name}
    assert "all_gather_object" in collectives
    used = [(path.name, text) for path, text, name, _ in _calls() if name in collectives]
    assert used == []


def test_no_pickle_is_opened():
    found = []
    for path, text, _, keywords in _calls():
        if text in ("pickle.load", "pickle.loads", "joblib.load", "dill.load", "dill.loads"):
            found.append((path.name, text))
        if text == "torch.load" and keywords.get("weights_only") != "True":
            found.append((path.name, text))
        if text == "np.load" and "allow_pickle" in keywords:
            found.append((path.name, text))
    assert found == []


TENSORS = (
    [torch.tensor([1, 2, 3]), torch.tensor([], dtype=torch.int64), torch.tensor([-(1 << 62)])],
    [torch.arange(n, dtype=torch.uint8) for n in (5, 0, 200)],
    [torch.tensor([[1.5, float("nan")]]), torch.zeros(0, 2), torch.ones(3, 2)],
)


def _gather(rank, directory):
    store = dist.FileStore(f"{directory}/store", 3)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=3)
    for own in TENSORS:
        for ours, theirs in zip(gather_tensors(own[rank]), own, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
            assert ours.dtype == theirs.dtype
    ranks = Ranks(rank, 3)
    assert not ranks.any(False)
    assert ranks.any(rank == 1)
    ranks.wait()
    _lie(rank)
    dist.destroy_process_group()


def _lie(rank):
    """Let one rank claim what it does not send: the others ask for no memory for it."""
    if rank == 2:
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(3)]
        dist.all_gather(sizes, torch.tensor([1 << 50]))
        return
    with pytest.raises(InputError, match=r"rank 2 .* 1125899906842624"):
        gather_tensors(torch.zeros(1))


def test_three_ranks_gather_tensors_and_believe_no_size(tmp_path):
    run_forked(_gather, 3, str(tmp_path))


def test_alone_nothing_is_sent():
    tensor = torch.ones(2)
    assert gather_tensors(tensor)[0] is tensor
