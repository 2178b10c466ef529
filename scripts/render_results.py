"""Write the tables of docs/results from the table.json files that are kept there.

    python scripts/render_results.py [--check] [--results docs/results]

A folder ``docs/results/NAME`` holds ``table.json``, as ``parttag benchmark`` writes it, and
``provenance.json`` with ``commit``, ``data``, ``hardware`` and ``command``. The page that has the
lines ``<!-- table NAME -->`` and ``<!-- end NAME -->`` gets the table between them, and the picture
``roc.png`` of the folder if there is one. With ``--check`` nothing is written, and the exit code is
1 if a page is not what it would be.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "results"
ORIGIN = ("commit", "data", "hardware", "command")
NONE = "–"


def cell(number: Mapping[str, Any] | None, digits: int | None = None) -> str:
    """Return a number of ``table.json`` with its error, and in brackets its spread over seeds.

    Parameters
    ----------
    digits
        Behind the point; of rejections, None, as many as they have.
    """
    if number is None or number["value"] is None:
        return NONE
    value = number["value"]
    style = f".{digits if digits is not None else int(value < 100)}f"
    if number.get("lower_limit"):
        return f"> {value:{style}}"
    text = f"{value:{style}}"
    if number.get("low") is not None and number.get("high") is not None:
        above, below = f"{number['high'] - value:{style}}", f"{value - number['low']:{style}}"
        text += f" ± {above}" if above == below else f" +{above} −{below}"
    elif number.get("error") is not None:
        text += f" ± {number['error']:{style}}"
    spread = number.get("spread")
    return text if spread is None else f"{text} [{spread:{style}}]"


def points(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the working points of all rows: signal class and ε_S."""
    return list(
        dict.fromkeys(
            (signal, eps_s)
            for row in rows
            for signal, by_eps_s in row["rejection"].items()
            for eps_s in by_eps_s
        )
    )


class Notes:
    """Numbers what is to be said of rows; equal texts share a number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def marks(self, row: Mapping[str, Any]) -> str:
        """Return the marks of a row: its footnote, what differs in it, seeds that are missing."""
        texts = [row.get("footnote"), *row.get("notes", ())]
        texts += [f"seed {seed}: {why}" for seed, why in row.get("missing", {}).items()]
        texts += ["ended by training.max_seconds before its last step"] if row.get("cut") else []
        numbers = [self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts if text]
        return "".join(f" [{number}]" for number in numbers)

    def table(self) -> list[str]:
        """Return the notes as a table, or nothing."""
        lines = [f"| [{number}] | {plain(text)} |" for text, number in self._numbers.items()]
        return ["", "| note | |", "|---|---|", *lines] if lines else []


def plain(text: str) -> str:
    """Return a text that is one cell, and no markup."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text.replace("<", "\\<").replace("`", "\\`").replace("](", "]\\(")


def count(value: float | None) -> str:
    """Return a number to three digits, with k and M for thousands and millions."""
    if value is None:
        return NONE
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(row: Mapping[str, Any]) -> str:
    """Return what a training costs: by the clock on a GPU, of the processor on a CPU."""
    on_cpu = (row.get("hardware") or "").startswith("CPU")
    seconds = row.get("cpu_time" if on_cpu else "training_time")
    if seconds is None:
        return NONE
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def published_auc(row: Mapping[str, Any]) -> str:
    """Return the published AUC with the mark that says where it was read."""
    published = row.get("published")
    if not published or published["auc"] is None:
        return NONE
    return f"{published['auc']:.4f}".removesuffix("0") + f" ({published['mark']})"


def differences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how rows differ from the reference row on the same jets, or nothing."""
    compared = [row for row in rows if row.get("differences")]
    if not compared:
        return []
    names = list(compared[0]["differences"])
    lines = [
        "",
        f"Less {plain(compared[0]['reference'])}, on the same jets, with paired errors:",
        "",
    ]
    lines += [f"| network | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for row in compared:
        cells = [
            f"{one['value']:+.{digits}f} ± {one['error']:.{digits}f} ({one['sigmas']:+.1f} σ)"
            for name, one in row["differences"].items()
            for digits in (2 if "ln R" in name else 4,)
        ]
        lines.append(f"| {plain(row['row'])} | {' | '.join(cells)} |")
    return lines


def render(rows: Sequence[Mapping[str, Any]], origin: Mapping[str, str]) -> str:
    """Return the table of some rows as Markdown, its notes, and where it comes from."""
    shown, notes = points(rows), Notes()
    several = len({signal for signal, _ in shown}) > 1
    with_labels = any("labels" in row for row in rows)
    headers = [
        "network",
        *(["labels"] if with_labels else []),
        "seeds",
        "parameters",
        "accuracy",
        "AUC",
        *(
            f"1/ε_B {signal + ' ' if several else ''}at {100 * float(eps_s):.4g} %"
            for signal, eps_s in shown
        ),
        "jets seen",
        "time",
        "published AUC",
    ]
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for row in rows:
        cells = [
            plain(row["row"]) + notes.marks(row),
            *([count(row.get("labels"))] if with_labels else []),
            str(len(row["seeds"])) if row["seeds"] else NONE,
            count(row["parameters"]),
            cell(row["accuracy"], 4),
            cell(row["auc"], 4),
            *(cell(row["rejection"].get(signal, {}).get(eps_s)) for signal, eps_s in shown),
            count(row["jets_seen"]),
            duration(row),
            published_auc(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += notes.table() + differences(rows)
    lines += ["", "| | |", "|---|---|", *(f"| {key} | {plain(origin[key])} |" for key in ORIGIN)]
    return "\n".join(lines) + "\n"


def origin_of(folder: Path) -> dict[str, str]:
    """Return where a table comes from.

    Raises
    ------
    SystemExit
        If that is not said.
    """
    path = folder / "provenance.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [key for key in ORIGIN if not content.get(key)]
    if missing:
        raise SystemExit(f"{path} must say {', '.join(missing)} of its table")
    return {key: str(content[key]) for key in ORIGIN}


def updated(page: str, name: str, table: str) -> str:
    """Return a page with another table between the marks of this name."""
    begin, end = f"<!-- table {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"no page of docs/results has the lines {begin.strip()} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def rendered(results: Path) -> dict[Path, str]:
    """Return every page that has a table from a folder, as it should be."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(results.glob("*.md"))}
    pages: dict[Path, str] = {}
    for path in sorted(results.glob("*/table.json")):
        name = path.parent.name
        rows = json.loads(path.read_text(encoding="utf-8"))
        table = render(rows, origin_of(path.parent))
        if (path.parent / "roc.png").exists():
            table += f"\n![ROC of every row]({name}/roc.png)\n"
        page = next((p for p, text in texts.items() if f"<!-- table {name} -->" in text), None)
        if page is None:
            raise SystemExit(f"no page of {results} has the line <!-- table {name} -->")
        texts[page] = pages[page] = updated(texts[page], name, table)
    return pages


def main() -> None:
    """Write the pages, or say which are not up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    stale = [p for p, text in rendered(given.results).items() if p.read_text("utf-8") != text]
    if given.check and stale:
        raise SystemExit(f"run scripts/render_results.py: {', '.join(map(str, stale))}")
    for path, text in () if given.check else rendered(given.results).items():
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
