"""Files of events: their jets counted, and read in chunks of jets."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from parttag.data.readers.branches import Branches, require_branches
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.event_tables import Tally, numbers_of_jets
from parttag.data.readers.registry import Reader
from parttag.jets.arrays import JetArrays, concatenate

logger = logging.getLogger(__name__)

_STEP = 10_000
# Numbers of made jets, by what decides them: they are asked for more than once.
_made: dict[tuple[str, int, int, str], int] = {}


def count_jets(layout: ColumnLayout, reader: Reader, path: Path) -> int:
    """Return the number of jets of a file of events.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    leading = layout.columns.leading_jets
    if leading is None:  # jets are made; files as small as these are read twice for it
        status = path.stat()
        what = (str(path), status.st_size, status.st_mtime_ns, layout.columns.model_dump_json())
        if what not in _made:
            _made[what] = sum(len(jets) for jets in reader.read_chunks(path, _STEP, layout))
        return _made[what]
    require_branches([leading], reader.list_branches(path, layout), path)
    branches = reader.read_branches(path, [leading], layout)
    return int(numbers_of_jets(Branches(branches, path, 0, leading, 0), leading).sum())


def of_size(parts: Iterator[JetArrays], chunk_jets: int) -> Iterator[JetArrays]:
    """Yield jets in chunks of ``chunk_jets``, and the rest."""
    held: list[JetArrays] = []
    for part in parts:
        start = 0
        while sum(map(len, held)) + len(part) - start >= chunk_jets:
            stop = start + chunk_jets - sum(map(len, held))
            yield concatenate([*held, part.span(start, stop)])
            held, start = [], stop
        if start < len(part):
            held.append(part.span(start, len(part)))
    if held:
        yield concatenate(held)


def read_chunks(
    layout: ColumnLayout, reader: Reader, path: Path, chunk_jets: int
) -> Iterator[JetArrays]:
    """Yield the jets of a file of events, ``chunk_jets`` at a time, and say what is particular.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    of_jet = layout.columns.of_jet
    assert of_jet is not None
    if of_jet.within is not None:
        logger.info(
            "%s: the particles of a jet are taken to be those within ΔR < %g of its axis, which is "
            "an approximation",
            path,
            of_jet.within,
        )
    tally = Tally()
    events = min(chunk_jets, _STEP)
    parts = reader.read_chunks(path, events, replace(layout, tally=tally))
    yield from of_size(parts, chunk_jets)
    if tally.missing:
        logger.warning(
            "%s: %s of %s references are to particles that the file does not hold; left out",
            path,
            f"{tally.missing:,}",
            f"{tally.references:,}",
        )
