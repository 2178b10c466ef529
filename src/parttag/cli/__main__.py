"""``python -m parttag.cli``, which is also how ranks are started."""

import os
import sys

from parttag.api.ranks import end_with_parent, is_rank


def _end(status: object) -> None:
    """End a rank at once, with the status of its ``SystemExit``.

    Threads that still read jets ahead would be unwound where they are at the interpreter's end,
    which C++ answers by aborting: a training that went well would look as if it had failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    end_with_parent()  # before the rest is imported, which takes seconds

    from parttag.cli import main

    try:
        main()
    except SystemExit as end:
        if is_rank():
            _end(end.code)
        raise
