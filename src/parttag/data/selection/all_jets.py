"""Files to chunks of jets, with a report of how far it is."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from parttag.data.readers import count_jets, read_chunks
from parttag.data.readers.layout import Layout
from parttag.data.readers.parallel import read_ahead
from parttag.jets.arrays import JetArrays
from parttag.progress import Progress

# Jets of a step of the progress bar: few enough that it moves, many enough that jets of like length
# fill whole batches.
STEP_JETS = 5_000


def read_jets(
    files: Sequence[Path], progress: Progress, description: str, layout: Layout | None = None
) -> Iterator[tuple[Path, JetArrays]]:
    """Yield every jet of the files in their order, a chunk at a time, each with its file.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    num_chunks = sum(math.ceil(count_jets(path, layout) / STEP_JETS) for path in files)
    readers = [partial(read_chunks, path, chunk_jets=STEP_JETS, layout=layout) for path in files]
    chunks = ((files[number], jets) for number, jets in read_ahead(readers))
    yield from progress(chunks, total=num_chunks, description=description)
