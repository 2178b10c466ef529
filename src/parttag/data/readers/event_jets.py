"""Entries that hold several jets: particles and jets of events to those of jets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Int64

from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.event_tables import (
    JetsOfEvents,
    ParticlesOfEvents,
    Tally,
    numbers_of_jets,
)
from parttag.data.readers.more_columns import MoreColumns
from parttag.data.readers.of_jet import ClusterOptions
from parttag.data.readers.relations import related
from parttag.data.readers.slots import (
    Chosen,
    Particles,
    join,
    read_jet_momenta,
    read_particles,
)
from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.fastjet_clusters import cluster
from parttag.jets.packing import jet_sums, offsets_of, take_packed


def relation_branches(columns: ColumnsOptions) -> list[tuple[str, str]]:
    """Return key and branch of what says which particles are a jet's."""
    named = []
    keys, ids = columns.section_keys, unique_ids(columns)
    for number, section in enumerate(columns.sections):
        of_jet, key = section.of_jet, f"{keys[number] if columns.kinds else 'particles'}.of_jet"
        if of_jet is None:
            continue
        named += [(f"{key}.{name}", branch) for name, branch in of_jet.branches]
        if of_jet.references is not None:
            own = ids[number : number + 1] if columns.kinds else ids
            named += [(f"{key}.references", name) for name in own]
    return named


def unique_ids(columns: ColumnsOptions) -> list[str]:
    """Return the branch with the numbers that references have, for each section of particles."""
    return [f"{s.leading.rpartition('.')[0]}.fUniqueID" for s in columns.sections]


def read_events(
    columns: ColumnsOptions,
    branches: Mapping[str, ak.Array],
    path: Path,
    first_row: int,
    max_particles: int,
    tally: Tally,
    more: MoreColumns,
) -> tuple[JetsOfEvents, Particles]:
    """Return the jets of events and their particles.

    Raises
    ------
    InputError
        If the branches are not as ``columns`` says, or name jets or particles that there are not.
    """
    tables = [
        ParticlesOfEvents(branches, path, first_row, section.leading, max_particles)
        for section in columns.sections
    ]
    of_jet = columns.of_jet
    assert of_jet is not None

    def every_particle(of: Branches) -> Particles:
        sections = zip(columns.sections, tables, more.of_sections(of), strict=True)
        return join(
            [
                read_particles(section, table, columns.extra_names, columns=own)
                for section, table, own in sections
            ]
        )

    def jets_of(number: Int64[np.ndarray, " events"]) -> JetsOfEvents:
        leading = columns.leading_jets or ""
        return JetsOfEvents(branches, path, first_row, leading, max_particles, number)

    num_events = tables[0].num_entries
    for section in columns.sections[1:]:
        tables[0].require_one_an_entry(section.leading)
    if of_jet.cluster is not None:
        particles = every_particle(tables[0])
        number, chosen = _clustered(
            of_jet.cluster, particles, num_events, lambda e: f"{path}: {tables[0].name_of(e)}"
        )
        return jets_of(number), particles.chosen(chosen)
    assert columns.leading_jets is not None
    jets = jets_of(numbers_of_jets(tables[0], columns.leading_jets))
    if columns.kinds:
        return jets, _of_kinds(columns, jets, tables, tally, more)
    if of_jet.within is not None:
        particles = every_particle(jets)
        return jets, particles.chosen(_near(of_jet.within, columns, jets, particles))
    jet_p4 = None if columns.jet is None else read_jet_momenta(columns.jet, jets)
    chosen_of = related(of_jet, jets, tables, unique_ids(columns), tally)
    sections = zip(columns.sections, tables, chosen_of, more.of_sections(jets), strict=True)
    return jets, join(
        [
            read_particles(section, table, columns.extra_names, chosen, jet_p4, own)
            for section, table, chosen, own in sections
        ]
    )


def _of_kinds(
    columns: ColumnsOptions,
    jets: JetsOfEvents,
    tables: Sequence[Branches],
    tally: Tally,
    more: MoreColumns,
) -> Particles:
    """Return the particles of jets, of each kind as it says itself which are a jet's."""
    jet_p4 = None if columns.jet is None else read_jet_momenta(columns.jet, jets)
    chosen_of = _chosen_of_kinds(columns, jets, tables, tally)
    parts = []
    for kind, own in enumerate(more.of_sections(jets)):
        section, chosen = columns.sections[kind], chosen_of.get(kind)
        names = columns.extra_names
        found = read_particles(section, tables[kind], names, chosen, jet_p4, own, kind)
        if chosen is None:
            assert section.of_jet is not None
            assert section.of_jet.within is not None
            found = found.chosen(_near(section.of_jet.within, columns, jets, found))
        parts.append(found)
    return join(parts)


def _chosen_of_kinds(
    columns: ColumnsOptions, jets: JetsOfEvents, tables: Sequence[Branches], tally: Tally
) -> dict[int, Chosen]:
    """Return which particles of each kind are those of jets, but for kinds that are near them.

    References may be to particles of all the kinds that name them.
    """
    ids, together = unique_ids(columns), dict[str, list[int]]()
    for kind, section in enumerate(columns.sections):
        assert section.of_jet is not None
        if section.of_jet.within is None:
            together.setdefault(section.of_jet.references or f" {kind}", []).append(kind)
    chosen_of: dict[int, Chosen] = {}
    for kinds in together.values():
        of_jet = columns.sections[kinds[0]].of_jet
        assert of_jet is not None
        found = related(of_jet, jets, [tables[k] for k in kinds], [ids[k] for k in kinds], tally)
        chosen_of |= dict(zip(kinds, found, strict=True))
    return chosen_of


def _near(
    radius: float, columns: ColumnsOptions, jets: JetsOfEvents, particles: Particles
) -> Chosen:
    """Return the particles that are closer than ``radius`` to the axis of a jet, in ΔR."""
    assert columns.jet is not None
    axis = read_jet_momenta(columns.jet, jets)
    jet_eta, jet_phi = kinematics.eta(axis), kinematics.phi(axis)
    eta, phi = kinematics.eta(particles.p4), kinematics.phi(particles.p4)
    first = offsets_of(jets.number)[:-1]
    rows, own = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    # The first jet of all events, the second one, …: no more pairs at a time than particles.
    for number in range(jets.number.max(initial=0)):
        candidates = np.flatnonzero(jets.number[particles.jets] > number)
        jet = first[particles.jets[candidates]] + number
        delta_phi = kinematics.delta_phi(phi[candidates], jet_phi[jet])
        near = np.hypot(eta[candidates] - jet_eta[jet], delta_phi) < radius
        rows.append(candidates[near])
        own.append(jet[near])
    jet_of_row = np.concatenate(own)
    order = np.argsort(jet_of_row, kind="stable")
    return Chosen(np.concatenate(rows)[order], jet_of_row[order])


def _clustered(
    options: ClusterOptions, particles: Particles, num_events: int, name: Callable[[int], str]
) -> tuple[Int64[np.ndarray, " events"], Chosen]:
    """Return the number of jets of each event, those of higher pT first, and their particles."""
    # FastJet may work without end on them.
    broken = np.flatnonzero(~np.isfinite(particles.p4).all(axis=1))
    if len(broken):
        raise InputError(
            f"{name(int(particles.jets[broken[0]]))} has a particle whose momentum is not finite: "
            "no jets can be made of it; leave such particles out of the file"
        )
    lengths = np.bincount(particles.jets, minlength=num_events)
    event, offsets, rows = cluster(
        particles.p4,
        lengths,
        radius=options.radius,
        min_pt=options.min_pt,
        algorithm=options.algorithm,
    )
    p4 = jet_sums(particles.p4[rows], offsets)
    central = np.abs(kinematics.eta(p4)) < (options.max_abs_eta or np.inf)
    order = np.lexsort((-kinematics.pt(p4), event))
    order = order[central[order]]
    _, (rows,) = take_packed([rows], offsets, order)
    own = np.repeat(np.arange(len(order)), np.diff(offsets)[order])
    return np.bincount(event[order], minlength=num_events), Chosen(rows, own)
