"""What the C library does with memory that is asked for and given back at every step of a CPU."""

import ctypes
import os
import sys
from pathlib import Path

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def return_free_memory() -> None:
    """Give the free pages of the heap back to the system, where the C library is glibc.

    Batches of ever other sizes leave holes in the heap: within an hour it grows to several times
    what is in use, unless this is called now and then. It takes some tenths of a second.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def allocator_hint() -> str | None:
    """Return the setting that would make a CPU faster and that only a new process can have.

    glibc reads its settings when a process starts. Where the system gives huge pages to those who
    ask for them only, it can ask: the first touch of new memory then costs less.
    """
    is_set = "hugetlb" in os.environ.get("GLIBC_TUNABLES", "") or "LD_PRELOAD" in os.environ
    if is_set or not os.confstr_names.get("CS_GNU_LIBC_VERSION"):
        return None
    try:
        on_request = "[madvise]" in _HUGE_PAGES.read_text()
    except OSError:
        return None
    if not on_request:
        return None
    return "faster on a CPU with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the environment"
