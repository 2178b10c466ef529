"""What the C library does with memory that is asked for and given back at every step of a CPU."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_SECONDS = 20.0
_GROWTH = 1.25
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class HeapWatch:
    """Gives the free pages of the heap back to the system when the process has grown.

    Batches of ever other sizes leave holes in glibc's heap: within an hour it grows to several
    times what is in use. Pages that were given back must be made again at the next step, which
    costs seconds where there are gigabytes of them: so this is done when they have become many.

    Parameters
    ----------
    seconds
        Time between two looks.
    size
        Returns the bytes that the process needs.
    """

    def __init__(self, seconds: float = _SECONDS, size: Callable[[], int] | None = None) -> None:
        self._seconds = seconds
        self._size = size or own_bytes
        self._trim = None
        if sys.platform == "linux":
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._looked = time.perf_counter()
        self._usual = 0

    def __call__(self) -> None:
        """Look at the process once in a while, and act if it needs more than it did."""
        now = time.perf_counter()
        if self._trim is None or now - self._looked < self._seconds:
            return
        self._looked = now
        size = self._size()
        if not self._usual:
            self._usual = size
        elif size > _GROWTH * self._usual:
            self._trim(0)
            self._usual = 0  # what it needs now is seen when it has needed it


def own_bytes() -> int:
    """Return the memory in use but for pages of files, as of data that are mapped into memory."""
    resident, of_files = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")


def allocator_hint(huge_pages: Path = _HUGE_PAGES) -> str | None:
    """Return the setting that would make a CPU faster and that only a new process can have.

    glibc reads its settings when a process starts. Where the system gives huge pages to those who
    ask for them only, it can ask: the first touch of new memory then costs less.

    Parameters
    ----------
    huge_pages
        Where the system says to whom it gives them.
    """
    is_set = "hugetlb" in os.environ.get("GLIBC_TUNABLES", "") or "LD_PRELOAD" in os.environ
    if is_set or not os.confstr_names.get("CS_GNU_LIBC_VERSION"):
        return None
    try:
        on_request = "[madvise]" in huge_pages.read_text()
    except OSError:
        return None
    if not on_request:
        return None
    return "faster on a CPU with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the environment"
