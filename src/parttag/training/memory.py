"""Memory that the C library holds without need."""

import ctypes
import sys


def return_free_memory() -> None:
    """Give the free pages of the heap back to the system, where the C library is glibc.

    Batches of ever other sizes leave holes in the heap: within an hour it grows to several times
    what is in use, unless this is called now and then. It takes some tenths of a second.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
