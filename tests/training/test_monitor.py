import contextlib
import os
import signal
import threading
import time

import torch

from parttag.training.monitor import LossWatch, Stopwatch, Termination


def _watch(losses, lag):
    watch = LossWatch(lag)
    bad = []
    for step, loss in enumerate(losses, start=1):
        watch.add(step, torch.tensor(loss), torch.tensor([step]))
        bad.append(watch.first_bad())
    return watch, bad


def test_a_bad_loss_is_found_late_and_names_its_own_step():
    _, bad = _watch([1.0, 2.0, float("nan"), 3.0, float("inf"), 4.0], lag=2)
    assert bad[:4] == [None] * 4
    assert (bad[4].step, bad[4].index.item()) == (3, 3)


def test_without_lag_it_is_found_at_once():
    _, bad = _watch([1.0, -float("inf")], lag=0)
    assert bad[0] is None
    assert bad[1].step == 2


def test_the_losses_that_are_left_can_be_waited_for():
    watch, bad = _watch([1.0, float("nan"), 2.0], lag=5)
    assert bad == [None] * 3
    assert watch.first_bad(wait=True).step == 2
    assert watch.first_bad(wait=True) is None


def test_sigterm_is_remembered_and_the_handler_put_back():
    before = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    with termination:
        assert not termination.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.asked
    assert signal.getsignal(signal.SIGTERM) is before


def test_after_an_error_sigterm_may_stay_ignored_so_that_the_error_can_be_said():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.suppress(ValueError), Termination():
            raise ValueError
        assert signal.getsignal(signal.SIGTERM) is before
        with contextlib.suppress(ValueError), Termination(outlive_error=True):
            raise ValueError
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        assert signal.getsignal(signal.SIGTERM) is not before
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    failures = []

    def enter():
        try:
            with Termination():
                assert signal.getsignal(signal.SIGTERM) is before
        except (ValueError, AssertionError) as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failures


def test_a_stopwatch_counts_sleep_by_the_clock_and_work_for_the_processor():
    stopwatch = Stopwatch()
    time.sleep(0.05)
    clock, processor = stopwatch.lap()
    assert clock >= 0.05
    assert processor < 0.04
    began = time.process_time()
    while time.process_time() < began + 0.05:
        pass
    clock, processor = stopwatch.lap()
    assert min(clock, processor) >= 0.045
