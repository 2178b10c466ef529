"""The vector quantizer: what it returns, how its codebook learns, and that it resumes exactly."""

import pytest
import torch
import torch.distributed as dist

from helpers.ranks import run_forked
from parttag.models.layers import vector_quantizer
from parttag.models.layers.vector_quantizer import VectorQuantizer
from parttag.testing.tolerances import FLOAT64


def quantizer(num_codes=6, width=3, seed=0):
    torch.manual_seed(seed)
    return VectorQuantizer(num_codes, width).double()


def vectors(number=40, width=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, width, generator=generator, dtype=torch.float64)


def test_each_vector_becomes_the_nearest_code(monkeypatch):
    monkeypatch.setattr(vector_quantizer, "_MAX_DISTANCES", 50)  # in several parts
    ours, x = quantizer().eval(), vectors()
    result = ours(x)
    distances = (x[:, None] - ours.codebook).square().sum(dim=2)
    torch.testing.assert_close(result.codes, distances.argmin(dim=1))
    torch.testing.assert_close(result.values, ours.codebook[result.codes], **FLOAT64)
    torch.testing.assert_close(result.commitment, distances.amin(dim=1) / 3, **FLOAT64)


def test_the_gradient_passes_straight_through_and_commitment_pulls_towards_the_code():
    ours, x = quantizer().eval(), vectors().requires_grad_()
    result = ours(x)
    weights = torch.randn_like(x)
    (straight,) = torch.autograd.grad((weights * result.values).sum(), x, retain_graph=True)
    torch.testing.assert_close(straight, weights)
    (pull,) = torch.autograd.grad(result.commitment.sum(), x)
    torch.testing.assert_close(pull, 2 / 3 * (x - result.values).detach(), **FLOAT64)


def test_the_first_batch_sets_the_codebook_to_the_means_of_its_clusters():
    centres = torch.tensor([[0.0, 0], [100, 0], [0, 100]], dtype=torch.float64)
    x = (centres[:, None] + 0.1 * vectors(30, 2).view(3, 10, 2)).flatten(0, 1)
    ours = quantizer(3, 2)
    for seed in range(20):  # a start from two vectors of one cluster may end elsewhere
        torch.manual_seed(seed)
        ours.is_initialized.fill_(False)
        ours.forget()
        ours._initialize(x)
        if len(ours.nearest(centres).unique()) == 3:
            break
    order = ours.nearest(centres)
    torch.testing.assert_close(ours.codebook[order], x.view(3, 10, 2).mean(dim=1), **FLOAT64)


def test_codes_follow_the_running_means_of_the_vectors_that_choose_them():
    ours = quantizer(2, 1)
    ours.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    ours.sizes.copy_(torch.tensor([4.0, 2.0]))
    ours.sums.copy_(torch.tensor([[0.0], [20.0]]))
    ours.is_initialized.fill_(True)
    ours(torch.tensor([[1.0], [2.0], [12.0]], dtype=torch.float64))
    # 0.99 of what there was and 0.01 of the batch's: sums 0.03 and 19.92, sizes 3.98 and 1.99.
    expected = torch.tensor([[0.03 / 3.98], [19.92 / 1.99]], dtype=torch.float64)
    torch.testing.assert_close(ours.codebook, expected, rtol=1e-5, atol=0)


def test_codes_that_nobody_chooses_are_put_on_vectors():
    ours, x = quantizer(8), vectors()
    ours(x)
    far = torch.full((2, 3), 1e3, dtype=torch.float64)
    ours.codebook[:2], ours.sums[:2], ours.sizes[:2] = far, far, 1.0
    ours.uses.zero_()
    while ours.num_batches % vector_quantizer._REPLACE_EVERY:
        assert (ours.codebook[:2] > 900).all()
        ours(x)
    distances = torch.cdist(ours.codebook[:2], x).amin(dim=1)
    assert (distances < 1e-3).all()
    assert len(ours(x).codes.unique()) >= 7  # both may be put on the same vector


def test_with_fewer_vectors_than_codes_and_with_none_it_goes_on():
    ours = quantizer(8)
    assert len(ours(vectors(0)).values) == 0
    assert not ours.is_initialized
    ours(vectors(3))
    assert ours.is_initialized
    for _ in range(vector_quantizer._REPLACE_EVERY):
        ours(vectors(0))
    assert ours.codebook.isfinite().all()
    torch.testing.assert_close(ours(vectors(3)).values, vectors(3), rtol=1e-3, atol=1e-3)


def test_evaluation_changes_nothing():
    ours = quantizer()
    ours(vectors())
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    ours.eval()(vectors(seed=2))
    with torch.no_grad():
        ours.train()(vectors(seed=2))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_from_its_state_it_goes_on_exactly():
    whole = quantizer()
    for step in range(15):
        whole(vectors(seed=step))
    resumed = quantizer(seed=5)
    resumed.load_state_dict(whole.state_dict())
    random_state = torch.get_rng_state()
    for ours in (whole, resumed):
        torch.set_rng_state(random_state)
        for step in range(15, 30):
            ours(vectors(seed=step))
    assert whole.num_batches == resumed.num_batches == 30
    assert torch.equal(whole.codebook, resumed.codebook)


ENDS = [0, 25, 25, 60]  # the second rank has no vector


def trained_state(start, stop, first):
    ours = quantizer()
    for step in range(first, 21):
        ours(vectors(60, seed=step)[start:stop])
        if step == first:
            ours.codebook.copy_(vectors(6, seed=100))
            ours.sums.copy_(ours.codebook)
            ours.sizes.fill_(1.0)
        if step == 10:
            states = ours.codebook.clone()
    return {"before": states, "after": ours.codebook}


def run_rank(rank, directory):
    store = dist.FileStore(f"{directory}/store", len(ENDS) - 1)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(ENDS) - 1)
    torch.save(trained_state(*ENDS[rank : rank + 2], 0), f"{directory}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_ranks_hold_the_codebook_of_one_process(tmp_path):
    run_forked(run_rank, len(ENDS) - 1, str(tmp_path))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(ENDS) - 1)]
    expected = trained_state(0, ENDS[-1], 0)
    for rank in ranks:
        torch.testing.assert_close(rank["before"], expected["before"], **FLOAT64)
        # After codes were replaced, by vectors of the first rank only.
        torch.testing.assert_close(rank["after"], ranks[0]["after"], rtol=0, atol=0)
