"""Secondary vertices of jets, found from measured tracks alone.

Tracks are straight lines here, so that d0 and dz are linear in the point (x, y, z) where a track
begins:

    d0 = x sin φ − y cos φ,    dz = z − (x cos φ + y sin φ) sinh η.

The fit of a vertex is therefore linear least squares: each track adds a matrix of 3 x 3 and a
vector to the normal equations, and χ² follows from the sums. The protons collide at the origin,
with no spread.

Of the tracks of a jet that are displaced from there, every pair that fits together ahead of the
collision is a seed. The seed that most other tracks fit to takes them, loses those that fit badly,
and is a vertex if it is far enough away; its tracks are used up, and the search goes on.

References
----------
The way of searching is that of the inclusive vertex finders of CMS (arXiv:1712.07158, section 5.1);
the cuts are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from parttag.jets.clustered import Jets, Lists
from parttag.jets.kinematics import delta_phi, pt_eta_phi
from parttag.jets.packing import offsets_of
from parttag.samples.simulation.detectors.tracking import MeasuredTracks
from parttag.samples.simulation.pairs import matches

MIN_PT = 0.8
"""GeV, of a track."""
MIN_SIGNIFICANCE, MIN_SEED_SIGNIFICANCE = 2.0, 3.0
"""|d0| over its error, of any track and of those of a seed."""
MAX_CHI2 = 9.0
"""Of a seed, and by which a track may raise the χ² of a vertex."""
MIN_FLIGHT_SIGNIFICANCE = 5.0
MAX_FLIGHT_XY = 100.0
"""mm"""
MIN_POINTING = 0.9
"""Cosine of the angle between flight and momentum."""
_PION = 0.13957  # GeV
_WEAK = 1e-8  # makes parallel lines meet somewhere
_REFITS = 5


@dataclass(frozen=True, eq=False)
class Vertices:
    """Vertices in jets, with columns by falling pT, and their tracks.

    ``tracks`` are pairs: the number of a vertex, and the row of a track of it.
    """

    lists: Lists
    tracks: Int64[np.ndarray, "2 pairs"]


def find_vertices(tracks: MeasuredTracks, jets: Jets, radius: float) -> Vertices:
    """Return the secondary vertices of jets, of two tracks or more; no truth is looked at.

    ``radius`` says how far tracks may be from the jet's axis in (η, φ). Columns of each vertex:
    ``px``, ``py``, ``pz``, ``energy`` (GeV; the sum of its tracks, as pions), ``x``, ``y``, ``z``
    (mm), ``flight`` and ``flight_xy`` (mm, from the collision and from the beam), their
    significances ``flight_sig`` and ``flight_xy_sig``, ``pointing`` (cosine of the angle between
    flight and momentum), ``chi2`` (over its degrees of freedom) and ``num_tracks``.
    """
    search = _Search.of(tracks, jets, radius)
    seeds, chi2 = _seeds(search)
    seed, member = _members(search, seeds, chi2)
    used = np.zeros(len(search.jet), dtype=bool)
    alive = np.ones(len(chi2), dtype=bool)
    parts = [_Found(np.zeros((2, 0), dtype=np.int64), _columns(search, np.zeros((2, 0), int), 0))]
    while alive.any():
        open_ = alive[seed] & ~used[member]
        size = np.bincount(seed[open_], minlength=len(chi2))
        order = np.lexsort((chi2, -size, search.jet[seeds[0]], ~alive))[: alive.sum()]
        _, first = np.unique(search.jet[seeds[0]][order], return_index=True)
        chosen = order[first]  # one of each jet
        number = np.full(len(chi2), -1)
        number[chosen] = np.arange(len(chosen))
        open_ &= number[seed] >= 0
        found = _vertices(search, np.stack([number[seed[open_]], member[open_]]), len(chosen))
        parts.append(found)
        used[found.tracks[1]] = True
        alive[chosen] = False
        alive &= ~used[seeds].any(axis=0)
    return _sorted(search, parts, len(jets))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Normal equations of lines or of vertices, for the point (x, y, z) of least squares."""

    matrix: Float64[np.ndarray, "rows 3 3"]
    vector: Float64[np.ndarray, "rows 3"]
    constant: Float64[np.ndarray, " rows"]

    @classmethod
    def of_tracks(cls, tracks: MeasuredTracks) -> _Sums:
        """Return those of each track alone."""
        _, eta, phi = _directions(tracks.momentum)
        cosine, sine, zero = np.cos(phi), np.sin(phi), np.zeros_like(phi)
        slope = np.sinh(eta)
        across = np.stack([sine, -cosine, zero], axis=1) / tracks.d0_error[:, None]
        along = np.stack([-slope * cosine, -slope * sine, zero + 1], axis=1)
        along /= tracks.dz_error[:, None]
        lines, values = (
            np.stack([across, along], axis=1),
            np.stack([tracks.d0 / tracks.d0_error, tracks.dz / tracks.dz_error], axis=1),
        )
        return cls(
            np.einsum("tki,tkj->tij", lines, lines),
            np.einsum("tki,tk->ti", lines, values),
            (values**2).sum(axis=1),
        )

    def take(self, rows: np.ndarray) -> _Sums:
        return _Sums(self.matrix[rows], self.vector[rows], self.constant[rows])

    def plus(self, other: _Sums, sign: float = 1.0) -> _Sums:
        return _Sums(
            self.matrix + sign * other.matrix,
            self.vector + sign * other.vector,
            self.constant + sign * other.constant,
        )

    def total(self, group: Int64[np.ndarray, " rows"], num_groups: int) -> _Sums:
        """Return the sums over the rows of each group."""
        whole = _Sums(np.zeros((num_groups, 3, 3)), np.zeros((num_groups, 3)), np.zeros(num_groups))
        np.add.at(whole.matrix, group, self.matrix)
        np.add.at(whole.vector, group, self.vector)
        np.add.at(whole.constant, group, self.constant)
        return whole

    def fit(self) -> tuple[Float64[np.ndarray, "rows 3"], Float64[np.ndarray, " rows"]]:
        """Return the points, and χ²."""
        regular = self.matrix + _WEAK * np.eye(3)
        point = np.linalg.solve(regular, self.vector[..., None])[..., 0]
        return point, (self.constant - (self.vector * point).sum(axis=1)).clip(min=0.0)

    def variance(self, direction: Float64[np.ndarray, "rows 3"]) -> Float64[np.ndarray, " rows"]:
        """Return that of the point along unit vectors."""
        regular = self.matrix + _WEAK * np.eye(3)
        spread = np.linalg.solve(regular, direction[..., None])[..., 0]
        variance: Float64[np.ndarray, " rows"] = (spread * direction).sum(axis=1)
        return variance


@dataclass(frozen=True, eq=False)
class _Search:
    """The displaced tracks of jets: the row of each in all tracks, its jet and what it says."""

    row: Int64[np.ndarray, " tracks"]
    jet: Int64[np.ndarray, " tracks"]
    axis: Float64[np.ndarray, "tracks 3"]
    momentum: Float64[np.ndarray, "tracks 3"]
    seeding: Bool[np.ndarray, " tracks"]
    lines: _Sums

    @classmethod
    def of(cls, tracks: MeasuredTracks, jets: Jets, radius: float) -> _Search:
        """Return those within the radius of the jets' axes."""
        pt, eta, phi = _directions(tracks.momentum)
        measured = tracks.d0_error > 0  # not beyond the η that the errors are known to
        significance = np.abs(tracks.d0 / np.where(measured, tracks.d0_error, np.inf))
        displaced = np.flatnonzero((significance > MIN_SIGNIFICANCE) & (pt > MIN_PT))
        jet, row = matches(jets.event, tracks.event[displaced])
        row = displaced[row]
        _, jet_eta, jet_phi = pt_eta_phi(jets.p4)
        near = np.hypot(eta[row] - jet_eta[jet], delta_phi(phi[row], jet_phi[jet])) < radius
        jet, row = jet[near], row[near]
        own = tracks.take(row)
        seeding = significance[row] > MIN_SEED_SIGNIFICANCE
        return cls(row, jet, jets.p4[jet, :3], own.momentum, seeding, _Sums.of_tracks(own))


@dataclass(frozen=True, eq=False)
class _Found:
    """Vertices: pairs of a vertex' number and a row of the search, and columns."""

    tracks: Int64[np.ndarray, "2 pairs"]
    columns: dict[str, Shaped[np.ndarray, " vertices"]]


def _seeds(
    search: _Search,
) -> tuple[Int64[np.ndarray, "2 seeds"], Float64[np.ndarray, " seeds"]]:
    """Return the pairs of tracks that may come from one point ahead of the collision, and χ²."""
    pairs = np.stack(matches(search.jet, search.jet))
    pairs = pairs[:, (pairs[0] < pairs[1]) & search.seeding[pairs].all(axis=0)]
    point, chi2 = search.lines.take(pairs[0]).plus(search.lines.take(pairs[1])).fit()
    good = (chi2 < MAX_CHI2) & ((point * search.axis[pairs[0]]).sum(axis=1) > 0)
    good &= np.hypot(point[:, 0], point[:, 1]) < MAX_FLIGHT_XY
    return pairs[:, good], chi2[good]


def _members(
    search: _Search, seeds: Int64[np.ndarray, "2 seeds"], chi2: Float64[np.ndarray, " seeds"]
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return all pairs of a seed and a track that fits to it; both of its own are among them."""
    seed, track = matches(search.jet[seeds[0]], search.jet)
    own = (seeds[:, seed] == track).any(axis=0)
    sums = search.lines.take(seeds[0]).plus(search.lines.take(seeds[1]))
    _, raised = sums.take(seed).plus(search.lines.take(track)).fit()
    fits = own | (raised - chi2[seed] < MAX_CHI2)
    return seed[fits], track[fits]


def _vertices(search: _Search, tracks: Int64[np.ndarray, "2 pairs"], count: int) -> _Found:
    """Return the vertices of these tracks that are left when those that fit badly are taken out."""
    for _ in range(_REFITS):
        vertex, track = tracks
        lines = search.lines.take(track)
        sums = lines.total(vertex, count)
        _, chi2 = sums.fit()
        _, without = sums.take(vertex).plus(lines, -1.0).fit()
        gain = chi2[vertex] - without
        order = np.lexsort((-gain, vertex))
        worst = order[np.flatnonzero(np.diff(vertex[order], prepend=-1))]
        bad = worst[gain[worst] > MAX_CHI2]
        if not len(bad):
            break
        tracks = np.delete(tracks, bad, axis=1)
    columns = _columns(search, tracks, count)
    good = (columns["num_tracks"] >= 2) & (columns["flight_xy"] < MAX_FLIGHT_XY)
    good &= columns["flight_sig"] > MIN_FLIGHT_SIGNIFICANCE
    good &= (columns["pointing"] > MIN_POINTING) & (columns["chi2"] < MAX_CHI2)
    number = np.cumsum(good) - 1
    tracks = tracks[:, good[tracks[0]]]
    tracks[0] = number[tracks[0]]
    return _Found(tracks, {name: column[good] for name, column in columns.items()})


def _columns(
    search: _Search, tracks: Int64[np.ndarray, "2 pairs"], count: int
) -> dict[str, Shaped[np.ndarray, " vertices"]]:
    vertex, track = tracks
    sums = search.lines.take(track).total(vertex, count)
    point, chi2 = sums.fit()
    momentum = search.momentum[track]
    energy = np.sqrt((momentum**2).sum(axis=1) + _PION**2)
    p4 = np.zeros((count, 4))
    np.add.at(p4, vertex, np.column_stack([momentum, energy]))
    num_tracks = np.bincount(vertex, minlength=count)
    across = point * np.array([1.0, 1.0, 0.0])
    flight, flight_xy = (np.linalg.norm(way, axis=1).clip(min=1e-9) for way in (point, across))
    size = np.linalg.norm(p4[:, :3], axis=1).clip(min=1e-9)
    return {
        **dict(zip(("px", "py", "pz", "energy"), p4.T, strict=True)),
        **dict(zip("xyz", point.T, strict=True)),
        "flight": flight,
        "flight_sig": flight / np.sqrt(sums.variance(point / flight[:, None])),
        "flight_xy": flight_xy,
        "flight_xy_sig": flight_xy / np.sqrt(sums.variance(across / flight_xy[:, None])),
        "pointing": (point * p4[:, :3]).sum(axis=1) / (flight * size),
        "chi2": chi2 / (2 * num_tracks - 3).clip(min=1),
        "num_tracks": num_tracks.astype(np.int16),
    }


def _sorted(search: _Search, parts: Sequence[_Found], num_jets: int) -> Vertices:
    """Return all vertices, those of one jet after those of the other, by falling pT."""
    columns = {
        name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns
    }
    counts = [len(part.columns["px"]) for part in parts]
    before = np.cumsum(counts) - counts
    pairs = np.concatenate(
        [part.tracks + np.array([[start], [0]]) for part, start in zip(parts, before, strict=True)],
        axis=1,
    )
    jet = np.zeros(sum(counts), dtype=np.int64)
    jet[pairs[0]] = search.jet[pairs[1]]
    order = np.lexsort((-np.hypot(columns["px"], columns["py"]), jet))
    offsets = offsets_of(np.bincount(jet, minlength=num_jets))
    return Vertices(
        Lists(offsets, {name: column[order] for name, column in columns.items()}),
        np.stack([np.argsort(order)[pairs[0]], search.row[pairs[1]]]),
    )


def _directions(momentum: Float64[np.ndarray, "tracks 3"]) -> tuple[Any, Any, Any]:
    """Return pT, η and φ."""
    return pt_eta_phi(np.column_stack([momentum, np.zeros(len(momentum))]))
