import builtins
import json

import pytest

from parttag.errors import InputError
from parttag.training.record import Record

HISTORY = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]


def test_metrics_have_one_line_an_epoch(tmp_path):
    record = Record(tmp_path, tensorboard=False)
    record.write(HISTORY[:1])
    record.write(HISTORY)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == HISTORY
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_metric_of_every_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = Record(tmp_path, tensorboard=True)
    record.write(HISTORY[:1])
    record.write(HISTORY)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train_loss")] == [(1, 0.5), (2, 0.25)]


def test_missing_tensorboard_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_tensorboard(name, *args, **kwargs):
        if "tensorboard" in name:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tensorboard)
    with pytest.raises(InputError, match=r"pip install 'parttag\[track\]'"):
        Record(tmp_path, tensorboard=True)
