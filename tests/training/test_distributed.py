import json
import re

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from helpers.ranks import RankGroup, run_under_torchrun
from helpers.runs import NETWORK, toy_config
from parttag.errors import InputError
from parttag.runs.config import dump_config
from parttag.runs.train import train_run
from parttag.training.distributed import Ranks, _buckets, first_to_report, join_ranks
from parttag.training.monitor import LossWatch

# No dropout, and no trimming: both draw other random numbers on each rank.
TRANSFORMER = {
    "name": "particle_transformer",
    "embed_dims": [8],
    "pair_dims": [4],
    "num_heads": 2,
    "num_layers": 1,
    "num_class_layers": 1,
    "dropout": 0.0,
    "trim": False,
}
PARTICLE_NET = {
    "name": "particle_net",
    "edge_dims": [[4, 4], [6]],
    "num_neighbours": 3,
    "jet_dims": [6],
    "dropout": 0.0,
}
PCT = {
    "name": "pct",
    "embed_dims": [4, 8],
    "num_neighbours": 3,
    "num_layers": 1,
    "particle_dim": 8,
    "jet_dim": 6,
    "dropout": 0.0,
}
JETCLR = {
    "name": "jetclr",
    "embed_dim": 8,
    "num_layers": 1,
    "feedforward_dim": 8,
    "dropout": 0.0,
}
# Model, precision, numbers of ranks, and how closely the losses must agree.
CASES = {
    "pfn_fp64": (NETWORK, "fp64", (2, 3), 1e-9),
    "pfn_fp32": (NETWORK, "fp32", (3,), 1e-5),
    "particle_transformer_fp64": (TRANSFORMER, "fp64", (3,), 1e-9),
    "particle_net_fp64": (PARTICLE_NET, "fp64", (3,), 1e-9),
    "pct_fp64": (PCT, "fp64", (3,), 1e-9),
    "contrastive_fp64": (JETCLR, "fp64", (3,), 1e-9),
}
# Without augmentations nothing is drawn at random: jets are told from those of all ranks.
_NO_VIEWS = "{rotation: 0, translation: 0, splitting_passes: 0, smearing: 0}"
OBJECTIVES = {
    "contrastive_fp64": (
        f"objective={{name: contrastive, augmentations: {_NO_VIEWS}}}",
        "training.best_by=loss",
    )
}
# 33 jets in batches of 16: the last batch has one jet, and all ranks but the first have none.
CURVE = ("training.steps=50", "training.steps_per_epoch=25", "optimizer.lr=0.01")


def _write(config, path):
    path.write_text(dump_config(config))
    return path


def _train_and_watch(config, run):
    """Return the loss of every step, and those of the validations."""
    with pytest.MonkeyPatch.context() as patch:
        losses = []
        patch.setattr(LossWatch, "add", lambda *args: losses.append(args[2].item()))
        train_run(config, run)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return losses + [json.loads(line)["val_loss"] for line in lines]


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """Return the losses of each case by number of ranks."""
    folder = tmp_path_factory.mktemp("curves")
    configs, losses = {}, {}
    for name, (model, precision, _, _) in CASES.items():
        (folder / name).mkdir()
        overrides = (*CURVE, f"training.precision={precision}", *OBJECTIVES.get(name, ()))
        configs[name] = toy_config(folder / name, *overrides, model=model, jets=33)
        _write(configs[name], folder / f"{name}.yaml")
        losses[name, 1] = _train_and_watch(configs[name], folder / name / "1")
    for num_ranks in (2, 3):
        names = [name for name, case in CASES.items() if num_ranks in case[2]]
        runs = [(folder / f"{name}.yaml", folder / name / str(num_ranks)) for name in names]
        group = RankGroup(num_ranks, runs, join_first=True)
        for number, name in enumerate(names):
            with group.joined(number):
                losses[name, num_ranks] = _train_and_watch(configs[name], runs[number][1])
        assert [result for result in group.wait() if result.code] == []
    return losses


@pytest.mark.parametrize(("case", "num_ranks"), [(c, n) for c in CASES for n in CASES[c][2]])
def test_ranks_have_the_losses_of_one_process(curves, case, num_ranks):
    alone, together = curves[case, 1], curves[case, num_ranks]
    assert len(together) == 52
    assert together == pytest.approx(alone, abs=CASES[case][3], rel=0)
    assert max(alone) - min(alone) > 0.1


def test_a_rank_that_is_killed_stops_a_torchrun_with_one_message(tmp_path):
    config = _write(toy_config(tmp_path), tmp_path / "run.yaml")
    with pytest.raises(ChildFailedError):
        run_under_torchrun(3, config, tmp_path / "run", hurt="1:6:kill")
    logs = [(tmp_path / "torchrun" / str(rank)).read_text() for rank in range(3)]
    messages = [line for log in logs for line in log.splitlines() if "error" in line]
    assert len(messages) == 1, messages
    assert re.match("error: rank [02] of 3 lost another rank, which was killed", messages[0])
    # The checkpoint of the first epoch is there, and another number of ranks goes on from it.
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 4
    train_run(toy_config(tmp_path), tmp_path / "run")


def test_the_rank_that_is_left_says_so_in_a_sentence(tmp_path):
    config = toy_config(tmp_path)
    path = _write(config, tmp_path / "run.yaml")
    group = RankGroup(2, [(path, tmp_path / "run")], hurt="1:6:kill", join_first=True)
    with group.joined():
        with pytest.raises(InputError, match="rank 0 of 2 lost another rank, which was killed"):
            train_run(config, tmp_path / "run")
        assert first_to_report()
        assert not first_to_report()
    assert group.wait()[0].code == -9


def test_an_error_of_one_rank_is_said_once_and_stops_all(tmp_path):
    config = _write(toy_config(tmp_path), tmp_path / "run.yaml")
    results = RankGroup(3, [(config, tmp_path / "run")], hurt="1:6:raise").wait()
    assert [result.code for result in results] == [1, 2, 1]
    messages = [line for result in results for line in result.errors if "error" in line]
    assert messages == ["error: this rank cannot read its file"]


def test_sigterm_to_one_rank_stops_all_at_the_same_step(tmp_path):
    config = toy_config(tmp_path, "training.epochs=8", "training.validate_every=8")
    path = _write(config, tmp_path / "run.yaml")
    results = RankGroup(2, [(path, tmp_path / "run")], hurt="1:13:terminate").wait()
    assert [result.code for result in results] == [143, 143]
    messages = [line for result in results for line in result.errors if "stopped" in line]
    # They agree at every tenth step and at the end of every epoch.
    assert messages == ["stopped by SIGTERM after step 16 of 32; the same command continues"]
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 16


def test_alone_there_is_nothing_to_agree_on():
    alone = Ranks()
    values = torch.ones(3)
    assert alone.sum(values) is values
    assert alone.gather(values)[0] is values
    assert alone.any(True)
    assert not alone.any(False)
    assert first_to_report()
    with join_ranks("cpu", 1.0) as ranks:
        assert (ranks.rank, ranks.size, ranks.is_first) == (0, 1, True)


def test_buckets_hold_all_tensors_in_order_and_are_not_too_large():
    tensors = [torch.zeros(n) for n in (4, 6, 1, 30, 2, 8)]
    sizes = [[len(t) for t in bucket] for bucket in _buckets(tensors, most=10)]
    assert sizes == [[4, 6], [1], [30], [2, 8]]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with (
        pytest.raises(InputError, match=r"training\.device: this machine has 0 GPUs"),
        join_ranks("cuda", 1.0),
    ):
        pass
    with join_ranks("auto", 1.0) as ranks:
        assert ranks.device.type == "cpu"
