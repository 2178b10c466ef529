"""Tasks here, in processes, and on a Dask cluster."""

import os
import signal
import sys
import warnings

import pytest

from helpers.files import write_jetclass_root
from parttag.data import prepare
from parttag.errors import InputError
from parttag.system.processes import children_deaf_to_interrupts, map_tasks
from parttag.testing import toy_jets


def test_here_tasks_are_done_in_order():
    done = []
    assert len(list(map_tasks(done.append, [3, 1, 2]))) == 3
    assert done == [3, 1, 2]


def test_an_error_of_a_task_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(map_tasks(lambda number: 1 // number, [1, 0]))


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("dask.distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster:
            yield cluster


def test_dask_makes_the_same_store(tmp_path, cluster):
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(20, seed=i)) for i in range(3)]
    prepare(files, tmp_path / "here")
    prepare(files, tmp_path / "there", scheduler=cluster.scheduler_address)
    stores = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("here", "there")
    ]
    assert stores[0] == stores[1]


def test_a_users_error_comes_back_from_dask_as_one_sentence(tmp_path, cluster):
    files = [
        write_jetclass_root(tmp_path / "a.root", toy_jets(3)),
        write_jetclass_root(tmp_path / "b.root", toy_jets(3), without=["label_top"]),
    ]
    with pytest.raises(InputError, match=r"b\.root and .*a\.root differ in their labels"):
        prepare(files, tmp_path / "store", scheduler=cluster.scheduler_address)
    assert not (tmp_path / "store").exists()


def test_a_scheduler_that_does_not_answer_is_named():
    pytest.importorskip("dask.distributed")
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9.*: no Dask scheduler answers"):
        list(map_tasks(print, [1], scheduler="tcp://127.0.0.1:9", connect_seconds=0.3))


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(InputError, match=r"needs Dask: install the extra, pip install 'parttag"):
        list(map_tasks(print, [1], scheduler="tcp://127.0.0.1:9"))


def test_an_interrupt_waits_until_all_processes_have_started():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    began = ended = False
    try:
        with pytest.raises(KeyboardInterrupt), children_deaf_to_interrupts():
            began = True
            os.kill(os.getpid(), signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            ended = True
        assert began
        assert ended
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
