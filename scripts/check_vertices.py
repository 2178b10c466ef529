"""Secondary vertices of simulated jets: how many true decays they find, and how many are fake.

    python scripts/check_vertices.py --jets 1000 --pictures vertices.png

Jets of H → bb, H → cc and QCD, as ``parttag simulate jetclass`` makes them. A true decay is that of
a b hadron (with the charm in it), a charmed hadron or a tau, or of a K⁰_S, a Λ or another strange
hadron (those of b hadrons too), with two tracks or more above 0.8 GeV within 0.8 of the jet's axis
that begin less than 100 mm from the beam. It is found if most tracks of a vertex, two at least, are
its own. A vertex that is not of one decay in this way is fake.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parttag.jets.kinematics import delta_phi, pt_eta_phi
from parttag.metrics import Estimate
from parttag.samples.simulation.ancestry import Origin
from parttag.samples.simulation.clustering import hard_jets
from parttag.samples.simulation.detectors.cms import CMS_JETCLASS
from parttag.samples.simulation.detectors.layered import detect
from parttag.samples.simulation.generator import Generator, Particles
from parttag.samples.simulation.jetclass import MIN_PT, RADIUS, JetClass, JetClassOptions, select
from parttag.samples.simulation.pairs import matches
from parttag.samples.simulation.vertexing import (
    MAX_FLIGHT_XY,
    MIN_SIGNIFICANCE,
    Vertices,
    find_vertices,
)
from parttag.samples.simulation.vertexing import MIN_PT as MIN_TRACK_PT

CHANNELS = {"H → bb": "HToBB", "H → cc": "HToCC", "QCD": "ZJetsToNuNu"}
STRANGE = {310: "K⁰_S", 3122: "Λ", 3112: "Σ, Ξ, Ω", 3222: "Σ, Ξ, Ω", 3312: "Σ, Ξ, Ω"}
STRANGE |= {3322: "Σ, Ξ, Ω", 3334: "Σ, Ξ, Ω"}  # |PDG id|
HEAVY = {Origin.B: "b hadron", Origin.C: "c hadron", Origin.TAU: "τ"}
KINDS = ("b hadron", "c hadron", "τ", "K⁰_S", "Λ", "Σ, Ξ, Ω")
FAKE = "fake"
NONE = -1


@dataclass
class Tally:
    """What was counted in the jets of a class; by kind of decay."""

    jets: int = 0
    decays: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    displaced: Counter[str] = field(default_factory=Counter)
    """Decays with two displaced tracks or more, which alone can be found."""
    displaced_found: Counter[str] = field(default_factory=Counter)
    vertices: Counter[str] = field(default_factory=Counter)
    columns: list[dict[str, np.ndarray]] = field(default_factory=list)
    """Of the vertices, with ``kind``, and of the tracks of the jets (``track_…``)."""

    def efficiency(self, kind: str) -> Estimate:
        """Return the share of the decays of a kind that are found."""
        return share(self.found[kind], self.decays[kind])

    def displaced_efficiency(self, kind: str) -> Estimate:
        """Return that of the decays with two displaced tracks."""
        return share(self.displaced_found[kind], self.displaced[kind])


def share(part: int, whole: int) -> Estimate:
    """Return a share with its binomial error; NaN of nothing."""
    if not whole:
        return Estimate(float("nan"))
    value = part / whole
    return Estimate(value, float(np.sqrt(max(value * (1 - value), 1 / whole / 4) / whole)))


def decays_of(particles: Particles) -> tuple[np.ndarray, np.ndarray]:
    """Return the kind of decay of each particle, a place in ``KINDS``, and its number; −1: none."""
    kind = np.full(len(particles.origin), NONE)
    key = np.zeros((len(kind), 4))
    for origin, name in HEAVY.items():
        rows = particles.origin == origin
        kind[rows] = KINDS.index(name)
        key[rows, 0] = particles.ancestor[rows]
    mother = np.abs(particles.mother_id)
    for pdg_id, name in STRANGE.items():
        rows = mother == pdg_id
        kind[rows] = KINDS.index(name)
        key[rows, 1:] = particles.vertex[rows]
        key[rows, 0] = particles.event[rows]
    _, number = np.unique(np.column_stack([kind, key]), axis=0, return_inverse=True)
    return kind, np.where(kind == NONE, NONE, number)


def count(
    tally: Tally,
    true: Particles,
    pairs: tuple[np.ndarray, np.ndarray],
    displaced: np.ndarray,
    vertices: Vertices,
) -> np.ndarray:
    """Count decays and vertices, and return the kind of each vertex.

    ``pairs`` are jets and their tracks, ``displaced`` says which of those tracks are.
    """
    kind, number = decays_of(true)
    jet, track = pairs
    near = np.hypot(true.vertex[track, 0], true.vertex[track, 1]) < MAX_FLIGHT_XY
    of_decay = near & (number[track] != NONE)
    decays = np.unique(np.stack([jet, number[track], kind[track]])[:, of_decay], axis=1)
    sizes = Counter(zip(jet[of_decay], number[track[of_decay]], strict=True))
    far = of_decay & displaced
    far_sizes = Counter(zip(jet[far], number[track[far]], strict=True))

    of_vertex = np.repeat(np.arange(len(vertices.lists.lengths)), vertices.lists.lengths)
    found, names = set(), []
    for vertex, in_jet in enumerate(of_vertex):
        own = number[vertices.tracks[1][vertices.tracks[0] == vertex]]
        most, times = Counter(own.tolist()).most_common(1)[0]
        rightly = most != NONE and times >= 2 and 2 * times > len(own)
        names.append(KINDS[kind[number == most][0]] if rightly else FAKE)
        if rightly:
            found.add((in_jet, most))
    tally.vertices.update(names)
    for in_jet, one, of_kind in decays.T:
        name, is_found = KINDS[of_kind], (in_jet, one) in found
        if sizes[in_jet, one] >= 2:
            tally.decays[name] += 1
            tally.found[name] += is_found
        if far_sizes[in_jet, one] >= 2:
            tally.displaced[name] += 1
            tally.displaced_found[name] += is_found
    return np.array(names, dtype=object)


def measure(sample: JetClass, stem: str, num_jets: int, seed: int) -> Tally:
    """Return what is found in so many jets of a class or a few more."""
    channel = sample.channel(stem)
    generator = Generator(channel.settings, seed, channel.parent)
    rng = np.random.default_rng(seed)
    tally = Tally()
    while tally.jets < num_jets:
        batch = generator.next_batch(sample.options.batch_size)
        flow = detect(batch.stable, CMS_JETCLASS, rng)
        jets = hard_jets(flow, batch.num_events, RADIUS, MIN_PT)
        jets = select(jets, batch.decays if channel.parent else None)
        tracks, true = flow.tracks, flow.tracked
        assert tracks is not None
        assert true is not None
        vertices = find_vertices(tracks, jets, RADIUS)
        pt, eta, phi = pt_eta_phi(np.column_stack([tracks.momentum, np.zeros(len(tracks.d0))]))
        _, jet_eta, jet_phi = pt_eta_phi(jets.p4)
        jet, track = matches(jets.event, tracks.event)
        distance = np.hypot(eta[track] - jet_eta[jet], delta_phi(phi[track], jet_phi[jet]))
        near = (distance < RADIUS) & (pt[track] > MIN_TRACK_PT) & (tracks.d0_error[track] > 0)
        jet, track = jet[near], track[near]
        significance = tracks.d0[track] / tracks.d0_error[track]
        displaced = np.abs(significance) > MIN_SIGNIFICANCE
        kinds = count(tally, true, (jet, track), displaced, vertices)
        own = {f"sv_{name}": column for name, column in vertices.lists.columns.items()}
        own |= {"kind": kinds, "track_significance": significance}
        tally.columns.append({**own, "num_vertices": vertices.lists.lengths})
        tally.jets += len(jets)
    return tally


def table(tallies: dict[str, Tally]) -> str:
    """Return the counts as tables in Markdown."""
    lines = [
        "| jets | decay | a jet | found | with two displaced tracks | found of those "
        "| vertices a jet |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, tally in tallies.items():
        for kind in KINDS:
            if not tally.decays[kind]:
                continue
            numbers = (
                f"{tally.decays[kind] / tally.jets:.3f}",
                tally.efficiency(kind),
                f"{tally.displaced[kind] / tally.jets:.3f}",
                tally.displaced_efficiency(kind),
                f"{tally.vertices[kind] / tally.jets:.3f}",
            )
            lines.append(" | ".join([f"| {name}", kind, *map(str, numbers)]) + " |")
        total = tally.vertices.total()
        fakes = f"{tally.vertices[FAKE] / tally.jets:.3f}"
        said = f"fake: {share(tally.vertices[FAKE], total)} of all {total / tally.jets:.3f}"
        lines.append(f"| {name} | {said} | | | | | {fakes} |")
    return "\n".join(lines)


def draw(tallies: dict[str, Tally], path: Path) -> None:
    """Draw what vertices and tracks look like, class by class."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    for name, tally in tallies.items():
        whole = {
            key: np.concatenate([part[key] for part in tally.columns]) for key in tally.columns[0]
        }
        p4 = np.stack([whole[f"sv_{axis}"] for axis in ("px", "py", "pz", "energy")], axis=1)
        mass = np.sqrt((p4[:, 3] ** 2 - (p4[:, :3] ** 2).sum(axis=1)).clip(min=0))
        shown = (
            ("d0 over its error, tracks", whole["track_significance"], np.linspace(-20, 20, 81)),
            ("flight from the beam in mm", whole["sv_flight_xy"], np.linspace(0, 100, 51)),
            ("flight over its error", whole["sv_flight_sig"], np.geomspace(5, 1000, 51)),
            ("mass of the vertex in GeV", mass, np.linspace(0, 6, 61)),
            ("number of tracks", whole["sv_num_tracks"], np.arange(1.5, 12)),
            ("vertices of a jet", whole["num_vertices"], np.arange(-0.5, 7)),
        )
        for axis, (label, values, bins) in zip(axes.flat, shown, strict=True):
            weights = np.full(len(values), 1 / tally.jets)
            axis.hist(values, bins, weights=weights, histtype="step", label=name)
            axis.set(xlabel=label, ylabel="a jet")
    for axis in axes.flat[:2]:
        axis.set_yscale("log")
    axes[0, 2].set_xscale("log")
    axes[0, 0].legend()
    figure.savefig(path, dpi=90)


def main() -> None:
    """Print the tables, and draw and write them if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jets", type=int, default=1000, help="of each class")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mpi", action="store_true", help="with multiparton interactions")
    parser.add_argument("--pictures", type=Path, help="file for the distributions")
    parser.add_argument("--json", type=Path, help="file for the counts")
    given = parser.parse_args()
    sample = JetClass(JetClassOptions(num_jets=100, mpi=given.mpi))
    tallies = {
        name: measure(sample, stem, given.jets, given.seed) for name, stem in CHANNELS.items()
    }
    print(table(tallies))
    if given.pictures:
        draw(tallies, given.pictures)
    if given.json:
        content = {
            name: {key: value for key, value in vars(tally).items() if key != "columns"}
            for name, tally in tallies.items()
        }
        given.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
