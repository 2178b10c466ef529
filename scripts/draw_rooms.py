"""Draw the rooms of the package, and the way of the data through them, as SVG.

    python scripts/draw_rooms.py [--out docs/pictures]

``rooms.svg`` is made of the code's imports: a room stands one floor above the highest one that it
imports from. Arrows that follow from others are left out. ``way.svg`` names the rooms that jets
pass; a room that is not there any more is an error.
"""

import argparse
import ast
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from structure import imports, modules

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "parttag"
FONT = "font-family='Helvetica, Arial, sans-serif'"
INK, PALE, LINE = "#1b2a41", "#eef3f9", "#7d93ad"
ACCENT = "#d9e8d3"

WAY: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("files", "", "ROOT, HDF5, parquet, npz: jets or events, of any names and units"),
        ("readers", "data/readers", "columns to momenta in GeV, labels, weights; bad jets counted"),
        ("store", "data/store", "shuffled once, with checksums; or straight from memory"),
        ("loader", "data/loading", "batches of packed particles, the same for any number of ranks"),
    ),
    (
        ("features", "jets", "logarithms, angles, impact parameters; standardized"),
        ("network", "models", "Particle Transformer and others; pairs and attention by ops"),
        ("training", "training", "loss, optimizer, checkpoints; goes on after any stop"),
        ("run", "runs", "a directory: weights, configuration, provenance, log"),
    ),
    (
        ("metrics", "evaluation", "accuracy, AUC, rejection, each with its error; pictures"),
        ("tables", "benchmarks", "many networks and seeds beside published numbers"),
        ("scores", "api", "to ROOT, HDF5, parquet; in coffea and notebooks"),
        ("ONNX", "export", "for CMSSW, Athena and C++, checked against the run"),
    ),
)


def graph_of_rooms(source: Path) -> dict[str, set[str]]:
    """Return which rooms each room imports from."""
    known = modules(source)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        if name == source.name:
            continue
        room = name.split(".")[1]
        others = {module.split(".")[1] for module in imports(path, known) if "." in module}
        graph.setdefault(room, set()).update(others - {room})
    return graph


def below(graph: Mapping[str, set[str]], room: str) -> set[str]:
    """Return all rooms that a room imports from, over others too."""
    found: set[str] = set()
    for other in graph[room]:
        found |= {other} | below(graph, other)
    return found


def needed_arrows(graph: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows that do not follow from others."""
    return sorted(
        (room, other)
        for room, others in graph.items()
        for other in others
        if not any(other in below(graph, between) for between in others - {other})
    )


def floors(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the rooms of each floor, the lowest first, near to what they import from."""

    def height(room: str) -> int:
        return 1 + max(map(height, graph[room]), default=-1)

    rows: list[list[str]] = [[] for _ in range(1 + max(map(height, graph)))]
    for room in sorted(graph):
        rows[height(room)].append(room)
    place: dict[str, float] = {}
    arrows = needed_arrows(graph)
    for row in rows:
        under = {
            room: [place[b] for a, b in arrows if a == room and b in place] or [0.5] for room in row
        }
        row.sort(key=lambda room, under=under: (sum(under[room]) / len(under[room]), room))
        place |= {room: (k + 0.5) / len(row) for k, room in enumerate(row)}
    return rows


def says(source: Path, room: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = source / room / "__init__.py"
    path = path if path.exists() else source / f"{room}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].split(": ")[0].split("; ")[0].replace("\n", " ").rstrip(".")


def box(x: float, y: float, width: float, height: float, texts: Sequence[str], fill: str) -> str:
    """Return a rectangle with a name and lines below it."""
    name, *lines = texts
    middle = x + width / 2
    parts = [
        f"<rect x='{x:.0f}' y='{y:.0f}' width='{width:.0f}' height='{height:.0f}' rx='6' "
        f"fill='{fill}' stroke='{LINE}'/>",
        f"<text x='{middle:.0f}' y='{y + 19:.0f}' text-anchor='middle' {FONT} font-size='15' "
        f"font-weight='bold' fill='{INK}'>{escape(name)}</text>",
    ]
    for k, line in enumerate(lines):
        parts.append(
            f"<text x='{middle:.0f}' y='{y + 36 + 14 * k:.0f}' text-anchor='middle' {FONT} "
            f"font-size='11.5' fill='{INK}'>{escape(line)}</text>"
        )
    return "\n".join(parts)


def arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a line with a head."""
    return (
        f"<line x1='{start[0]:.0f}' y1='{start[1]:.0f}' x2='{end[0]:.0f}' y2='{end[1]:.0f}' "
        f"stroke='{LINE}' stroke-width='1.2' marker-end='url(#head)'/>"
    )


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return an SVG with a white ground, so that it is legible in dark pages too."""
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' role='img'>",
            f"<title>{escape(title)}</title>",
            "<defs><marker id='head' markerWidth='8' markerHeight='8' refX='7' refY='4' "
            f"orient='auto'><path d='M0,1 L8,4 L0,7 z' fill='{LINE}'/></marker></defs>",
            f"<rect width='{width}' height='{height}' fill='white'/>",
            *parts,
            "</svg>\n",
        ]
    )


def draw_rooms(source: Path = SOURCE) -> str:
    """Return the picture of the rooms, by floors."""
    graph = graph_of_rooms(source)
    rows = floors(graph)
    width, step, tall = 960, 108, 78
    place: dict[str, tuple[float, float, float]] = {}
    parts = []
    for k, row in enumerate(rows):
        wide = min(260.0, (width - 40) / len(row) - 24)
        top = 20 + step * (len(rows) - 1 - k)
        for j, room in enumerate(row):
            middle = width * (j + 0.5) / len(row)
            place[room] = (middle, top, top + tall)
            lines = textwrap.wrap(says(source, room), int(wide / 6.2))[:3]
            is_folder = (source / room).is_dir()
            texts = [room + ("/" if is_folder else ""), *lines]
            parts.append(
                box(middle - wide / 2, top, wide, tall, texts, PALE if is_folder else "white")
            )
    lines = [
        arrow((place[a][0], place[a][2]), (place[b][0], place[b][1]))
        for a, b in needed_arrows(graph)
    ]
    height = 40 + step * len(rows) - (step - tall)
    return picture(width, height, "Rooms of parttag: arrows are imports", [*lines, *parts])


def draw_way(source: Path = SOURCE) -> str:
    """Return the picture of the way of the data."""
    width, wide, tall, step = 960, 205, 84, 120
    gap = (width - 4 * wide) / 5
    parts = []
    for k, row in enumerate(WAY):
        top = 20 + step * k
        for j, (name, room, text) in enumerate(row):
            if room and not (source / room).is_dir():
                raise FileNotFoundError(f"{source / room}: the picture's {name} has another room")
            left = gap + j * (wide + gap)
            fill = ACCENT if k == 2 else PALE if room else "white"
            texts = [name, *textwrap.wrap(text, 31)]
            parts.append(box(left, top, wide, tall, texts, fill))
            if j and k < 2:
                parts.append(arrow((left - gap, top + tall / 2), (left, top + tall / 2)))
            if k == 2:
                run = gap + 3 * (wide + gap) + wide / 2
                # Along a line between the rows: from the run to each thing that is made of it.
                middle = top - (step - tall) / 2
                start = (run, top - step + tall)
                bend = f"{run:.0f},{middle:.0f} {left + wide / 2:.0f},{middle:.0f}"
                parts.append(
                    f"<polyline points='{start[0]:.0f},{start[1]:.0f} {bend} "
                    f"{left + wide / 2:.0f},{top:.0f}' fill='none' stroke='{LINE}' "
                    "stroke-width='1.2' marker-end='url(#head)'/>"
                )
        if k == 0:
            middle = top + tall + (step - tall) / 2
            last, first = gap + 3 * (wide + gap) + wide / 2, gap + wide / 2
            parts.append(
                f"<polyline points='{last:.0f},{top + tall:.0f} {last:.0f},{middle:.0f} "
                f"{first:.0f},{middle:.0f} {first:.0f},{top + step:.0f}' fill='none' "
                f"stroke='{LINE}' stroke-width='1.2' marker-end='url(#head)'/>"
            )
    height = 40 + step * len(WAY) - (step - tall)
    title = "From files of jets to a trained tagger, and what it is used for"
    return picture(width, height, title, parts)


PICTURES = {"rooms.svg": draw_rooms, "way.svg": draw_way}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (out / name).write_text(draw(), encoding="utf-8")
        print(out / name)


if __name__ == "__main__":
    main()
