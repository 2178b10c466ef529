"""Where work in many independent tasks is done: here, in processes, or on many machines by Dask."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from parttag.errors import InputError
from parttag.system.processes import run_all

_CONNECT_SECONDS = 20


def do_all(
    function: Callable[[int], None],
    numbers: Sequence[int],
    *,
    processes: int = 1,
    scheduler: str | None = None,
) -> Generator[None]:
    """Call ``function`` with each number, and yield as each call is done.

    Parameters
    ----------
    function
        Must be importable and picklable, if it is not called here.
    processes
        How many call it at the same time; if it is one, this process does.
    scheduler
        Address of a Dask scheduler, whose workers are to call it instead.

    Raises
    ------
    InputError
        If a process is killed, or Dask is not installed or does not answer.
    """
    if scheduler is not None:
        yield from _on_dask(function, numbers, scheduler)
    elif processes == 1 or len(numbers) < 2:
        for number in numbers:
            function(number)
            yield
    else:
        try:
            with closing(run_all(function, numbers, processes)) as done:
                yield from done
        except BrokenProcessPool as error:
            raise UnfinishedError(
                "a process was killed (for lack of memory? try fewer --processes): give the same "
                "command again, and it continues"
            ) from error


class UnfinishedError(InputError):
    """The work stopped without a fault of its own, and can be continued."""


def _on_dask(
    function: Callable[[int], None], numbers: Sequence[int], address: str
) -> Generator[None]:
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise InputError(
            "--scheduler needs Dask: install the extra, pip install 'parttag[dask]'"
        ) from error
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UnfinishedError(
            f"--scheduler {address}: no Dask scheduler answers there; correct the address or start "
            "one with `dask scheduler`"
        ) from error
    with client:
        # Not pure: what counts is the files that a call writes.
        futures = client.map(function, list(numbers), pure=False)
        for future in as_completed(futures):
            yield future.result()
