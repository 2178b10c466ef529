"""Files of events: their jets counted, and read in chunks of jets."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Int64

from parttag.data.readers.branches import Branches
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.event_tables import Tally, numbers_of_jets
from parttag.data.readers.registry import Reader
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, concatenate, split_index, split_rows

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
    read = reader.read_branches(path, [leading], layout)
    return int(_numbers(leading, read, path, layout).sum())


def read_branches(
    layout: ColumnLayout, reader: Reader, path: Path, names: Sequence[str]
) -> dict[str, ak.Array]:
    """Return whole branches of a file of events, one entry a jet.

    A branch with as many values in each event as that has jets is one of jets; any other holds for
    all jets of its event.

    Raises
    ------
    InputError
        If the file cannot be read, or a branch that is named like the jets has not one value a jet.
    """
    leading = layout.columns.leading_jets
    if leading is None:
        rows = [split_index(jets.index)[1] for jets in reader.read_chunks(path, _STEP, layout)]
        events, _ = split_rows(np.concatenate([np.zeros(0, np.int64), *rows]))
        number, read = None, reader.read_branches(path, names, layout)
    else:
        read = reader.read_branches(path, list(dict.fromkeys([*names, leading])), layout)
        number = _numbers(leading, read, path, layout)
        events = np.repeat(np.arange(len(number)), number)
    jets = re.compile(rf"{re.escape(layout.columns.jets or ' ')}(?![A-Za-z0-9])")
    whole = {}
    for name in names:
        array = read[name]
        lengths = ak.to_numpy(ak.num(array)) if array.ndim > 1 else None
        if number is not None and lengths is not None and np.array_equal(lengths, number):
            whole[name] = ak.flatten(array)
        elif number is not None and lengths is not None and jets.match(name):
            event = int(np.flatnonzero(lengths != number)[0])
            raise InputError(
                f"{path}: {name} has {lengths[event]} values in event {event}, where {leading} has "
                f"{number[event]}: it is not one value a jet; leave it out of {option('keep', '')}"
            )
        else:
            whole[name] = array[events]
    return whole


def _numbers(
    leading: str, branches: Mapping[str, ak.Array], path: Path, layout: ColumnLayout
) -> Int64[np.ndarray, " events"]:
    return numbers_of_jets(Branches(branches, path, 0, leading, layout.max_particles), leading)


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
    for section in layout.columns.sections:
        of_jet = section.of_jet
        if of_jet is None or of_jet.within is None:
            continue
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
