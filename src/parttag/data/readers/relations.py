"""Which particles are a jet's, as files of events say it: ``columns.particles.of_jet``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from parttag.data.readers.branches import Branches
from parttag.data.readers.event_tables import JetsOfEvents, Tally
from parttag.data.readers.of_jet import OfJet
from parttag.data.readers.slots import Chosen
from parttag.errors import InputError
from parttag.jets.packing import offsets_of

# Delphes' particles are numbered in the lower bytes; the top one is ROOT's number of the process.
_ID_BITS = 24


def related(
    of_jet: OfJet,
    jets: JetsOfEvents,
    tables: Sequence[Branches],
    unique_ids: Sequence[str],
    tally: Tally,
) -> list[Chosen]:
    """Return the particles of each section that are of jets.

    Parameters
    ----------
    tables
        The particles of each section.
    unique_ids
        The branch of ``fUniqueID`` of each section, for references.
    tally
        Counts references to what the file does not hold.

    Raises
    ------
    InputError
        If a jet or a particle is named that the event has not, one jet has a particle twice, ranges
        run backwards or overlap, or branches differ in length.
    """
    if of_jet.references is not None:
        return _referenced(of_jet, jets, tables, unique_ids, tally)
    (particles,) = tables
    if of_jet.jet is not None:
        assert of_jet.particle is not None
        found = _paired(of_jet.jet, of_jet.particle, jets, particles)
    elif of_jet.particles is not None:
        found = _listed(of_jet.particles, jets, particles)
    elif of_jet.links is not None:
        found = _linked(of_jet, jets, particles, tally)
    else:
        found = _ranged(of_jet, jets, particles)
    _refuse_repeated(found, jets, particles)
    return [found]


def _paired(jet: str, particle: str, jets: JetsOfEvents, particles: Branches) -> Chosen:
    first = jets.lists(jet)
    second = jets.lists(particle)
    if not np.array_equal(first.lengths, second.lengths):
        event = int(np.flatnonzero(first.lengths != second.lengths)[0])
        raise InputError(
            f"{jets.path}: {jet} and {particle} differ in length ({first.lengths[event]} and "
            f"{second.lengths[event]} pairs in {jets.event_name(event)}): name two branches of one "
            "table"
        )
    events = first.entries
    own = _row(first.values, jets.number, events, jets, jet, "jets")
    rows = _row(second.values, particles.lengths, events, jets, particle, "particles")
    if (np.diff(own) < 0).any():
        order = np.argsort(own, kind="stable")
        own, rows = own[order], rows[order]
    return Chosen(rows, own)


def _listed(name: str, jets: JetsOfEvents, particles: Branches) -> Chosen:
    lists = jets.lists_of_jets(name)
    events = jets.entries[lists.entries]
    rows = _row(lists.values, particles.lengths, events, jets, name, "particles")
    return Chosen(rows, lists.entries)


def _ranged(of_jet: OfJet, jets: JetsOfEvents, particles: Branches) -> Chosen:
    assert of_jet.begin is not None
    begin = jets.whole_numbers(of_jet.begin)
    if of_jet.end is not None:
        end = jets.whole_numbers(of_jet.end)
    else:
        assert of_jet.count is not None
        end = begin + jets.whole_numbers(of_jet.count)
    through = None if of_jet.through is None else jets.lists(of_jet.through)
    lengths = particles.lengths if through is None else through.lengths
    _refuse_bad_ranges(of_jet, jets, begin, end, lengths)
    numbers = end - begin
    own = np.repeat(np.arange(len(numbers)), numbers)
    starts = offsets_of(lengths)[jets.entries] + begin
    rows = np.repeat(starts - offsets_of(numbers)[:-1], numbers) + np.arange(len(own))
    if through is not None:
        events, name = jets.entries[own], of_jet.through or ""
        rows = _row(through.values[rows], particles.lengths, events, jets, name, "particles")
    return Chosen(rows, own)


def _refuse_bad_ranges(
    of_jet: OfJet,
    jets: JetsOfEvents,
    begin: Int64[np.ndarray, " jets"],
    end: Int64[np.ndarray, " jets"],
    lengths: Int64[np.ndarray, " events"],
) -> None:
    what = f"{of_jet.begin} and {of_jet.end or of_jet.count}"
    held = of_jet.through or "the particles"
    wrong = np.flatnonzero((end < begin) | (begin < 0) | (end > lengths[jets.entries]))
    if len(wrong):
        jet = int(wrong[0])
        why = (
            "runs backwards"
            if end[jet] < begin[jet]
            else f"is not within {held}, {lengths[jets.entries[jet]]} of them"
        )
        raise InputError(
            f"{jets.path}: by {what}, the range of {jets.name_of(jet)} is "
            f"{begin[jet]} to {end[jet]}, which {why}: correct data.columns.particles.of_jet"
        )
    filled = np.flatnonzero(end > begin)
    order = filled[np.lexsort((begin[filled], jets.entries[filled]))]
    same = jets.entries[order[1:]] == jets.entries[order[:-1]]
    overlapping = np.flatnonzero(same & (begin[order[1:]] < end[order[:-1]]))
    if len(overlapping):
        one, other = sorted(order[overlapping[0] : overlapping[0] + 2].tolist())
        raise InputError(
            f"{jets.path}: by {what}, the ranges of {jets.name_of(one)} and {jets.name_of(other)} "
            "overlap: correct data.columns.particles.of_jet"
        )


def _referenced(
    of_jet: OfJet,
    jets: JetsOfEvents,
    tables: Sequence[Branches],
    unique_ids: Sequence[str],
    tally: Tally,
) -> list[Chosen]:
    assert of_jet.references is not None
    lists = jets.lists_of_jets(of_jet.references, "refs")
    mask = (1 << _ID_BITS) - 1
    keys, sections, rows = [], [], []
    for section, (table, name) in enumerate(zip(tables, unique_ids, strict=True)):
        ids = table.of_particles(name).astype(np.int64) & mask
        keys.append(np.repeat(np.arange(len(table.lengths)), table.lengths) << _ID_BITS | ids)
        sections.append(np.full(len(ids), section))
        rows.append(np.arange(len(ids)))
    key, section_of, row = (np.concatenate(parts) for parts in (keys, sections, rows))
    order = np.argsort(key, kind="stable")
    key, section_of, row = key[order], section_of[order], row[order]
    wanted = jets.entries[lists.entries] << _ID_BITS | (lists.values & mask)
    place = np.searchsorted(key, wanted)
    there = np.append(key, -1)[place] == wanted
    doubled = np.flatnonzero(there & (np.append(key, (-1, -1))[place + 1] == wanted))
    if len(doubled):
        event = int(jets.entries[lists.entries[doubled[0]]])
        raise InputError(
            f"{jets.path}: two particles of {jets.event_name(event)} have the number "
            f"{wanted[doubled[0]] & mask} that {of_jet.references} refers to; name each kind of "
            "particles once"
        )
    _count_missing(of_jet, of_jet.references, jets, lists.entries, there, tally)
    place, own = place[there], lists.entries[there]
    found = []
    for section, table in enumerate(tables):
        of_section = section_of[place] == section
        chosen = Chosen(row[place][of_section], own[of_section])
        _refuse_repeated(chosen, jets, table)
        found.append(chosen)
    return found


def _linked(of_jet: OfJet, jets: JetsOfEvents, particles: Branches, tally: Tally) -> Chosen:
    assert of_jet.links is not None
    name = of_jet.links
    keys, links = jets.lists_of_jets(name, "m_persKey"), jets.lists_of_jets(name, "m_persIndex")
    known = np.unique(keys.values[keys.values != 0])
    key = of_jet.key
    if key is None and len(known) > 1:
        raise InputError(
            f"{jets.path}: the links of {name} are to several containers (persKey "
            f"{', '.join(map(str, known[:5]))}): say which one the particles are, in "
            "data.columns.particles.of_jet.key"
        )
    there = keys.values != 0 if key is None else keys.values == key
    _count_missing(of_jet, name, jets, links.entries, there, tally)
    own = links.entries[there]
    events = jets.entries[own]
    rows = _row(links.values[there], particles.lengths, events, jets, name, "particles")
    return Chosen(rows, own)


def _count_missing(
    of_jet: OfJet,
    name: str,
    jets: JetsOfEvents,
    own: Int64[np.ndarray, " references"],
    there: np.ndarray,
    tally: Tally,
) -> None:
    tally.references += len(there)
    tally.missing += int((~there).sum())
    lost = np.flatnonzero(~there)
    if len(lost) and of_jet.missing == "refuse":
        jet = jets.name_of(int(own[lost[0]]))
        raise InputError(
            f"{jets.path}: {name} of {jet} refers to a particle that is not among those "
            "of data.columns.particles; name the branches of all kinds, or, if they are not "
            "stored, leave such particles out with of_jet: {…, missing: drop}"
        )


def _row(
    numbers: Int64[np.ndarray, " named"],
    lengths: Int64[np.ndarray, " events"],
    events: Int64[np.ndarray, " named"],
    jets: JetsOfEvents,
    name: str,
    what: str,
) -> Int64[np.ndarray, " named"]:
    """Return the rows, among those of all events, of what is numbered event by event."""
    wrong = np.flatnonzero((numbers < 0) | (numbers >= lengths[events]))
    if len(wrong):
        event = int(events[wrong[0]])
        raise InputError(
            f"{jets.path}: {name} is {numbers[wrong[0]]} in {jets.event_name(event)}, which has "
            f"{lengths[event]} {what}: correct data.columns.particles.of_jet"
        )
    rows: np.ndarray = offsets_of(lengths)[events] + numbers
    return rows


def _refuse_repeated(chosen: Chosen, jets: JetsOfEvents, particles: Branches) -> None:
    """Refuse a particle that one jet has twice."""
    same = chosen.jets[1:] == chosen.jets[:-1]
    if not (same & (np.diff(chosen.rows) <= 0)).any():
        return
    order = np.lexsort((chosen.rows, chosen.jets))
    own, rows = chosen.jets[order], chosen.rows[order]
    twice = np.flatnonzero((own[1:] == own[:-1]) & (rows[1:] == rows[:-1]))
    if len(twice):
        jet, row = int(own[twice[0]]), int(rows[twice[0]])
        number = row - particles.offsets[jets.entries[jet]]
        raise InputError(
            f"{jets.path}: {jets.name_of(jet)} has the particle {number} twice: correct "
            "data.columns.particles.of_jet"
        )
