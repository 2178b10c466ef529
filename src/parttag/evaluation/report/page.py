"""One page of HTML with everything in it: styles, charts, their library, and no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pooch

from parttag.errors import InputError
from parttag.evaluation.report.charts import Chart
from parttag.evaluation.report.content import ReportedRun, RowTable
from parttag.evaluation.report.jet_pictures import jet_chart
from parttag.evaluation.report.pictures import (
    by_pt_chart,
    roc_chart,
    rocs_of,
    run_charts,
    training_charts,
)
from parttag.system.atomic_files import refuse_existing, write_file

REPORT = "report.html"

_PACKAGES = {"jinja2": "jinja2", "vl_convert": "vl-convert-python"}
# Runs of which each has a part of its own; of more there is what they have in common.
_MOST_PARTS = 20


@dataclass(frozen=True)
class Part:
    """What a page shows of one run alone."""

    run: ReportedRun
    charts: Sequence[tuple[int, Chart]]
    jets: Sequence[tuple[int, Chart]]
    facts: Sequence[tuple[str, str]]


def missing_packages() -> str:
    """Return why no report can be made; nothing if one can."""
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if not missing:
        return ""
    return f"{' and '.join(missing)} not installed: pip install 'parttag[report]'"


def write_report(
    runs: Sequence[ReportedRun],
    out: Path,
    *,
    title: str,
    table: RowTable | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a page of some runs.

    Parameters
    ----------
    title
        Of the page.
    table
        A table of the runs, such as a benchmark's, that comes first.

    Raises
    ------
    InputError
        If packages of the extra ``report`` are missing, or the file exists or cannot be written.
    """
    if not overwrite:
        refuse_existing([out])
    why = missing_packages()
    if why:
        raise InputError(f"a report needs packages that are not there: {why}")
    write_file(out, page(runs, title=title, table=table).encode())
    return out


def page(runs: Sequence[ReportedRun], *, title: str, table: RowTable | None = None) -> str:
    """Return the page as text."""
    import jinja2

    charts: list[Chart] = []

    def numbered(some: Sequence[Chart]) -> list[tuple[int, Chart]]:
        start = len(charts)
        charts.extend(some)
        return list(enumerate(some, start=start))

    rocs = {run.name: rocs_of(run) for run in runs}
    together = []
    if any(rocs.values()):
        together.append(roc_chart(rocs, _backgrounds(runs)))
    by_pt = by_pt_chart(runs)
    comparison = numbered(together + ([] if by_pt is None else [by_pt]))
    training = numbered(training_charts(runs))
    parts = [
        Part(
            run,
            numbered(run_charts(run, rocs[run.name])),
            numbered([jet_chart(look) for look in run.looks]),
            _facts(run),
        )
        for run in runs[:_MOST_PARTS]
    ]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script, library = _resource("report.js"), vega()
    names, rows = _metrics(runs)
    return environment.from_string(_resource("report.html.j2")).render(
        title=title,
        runs=runs,
        table=table,
        metric_names=names,
        metric_rows=rows,
        comparison=comparison,
        training=training,
        parts=parts,
        omitted=len(runs) - len(parts),
        # Nothing of these is foreign but what is in the JSON, where no tag can end or begin.
        style=_safe(_resource("report.css")),
        library=_safe(library),
        script=_safe(script),
        specs=_safe(_json([chart.spec for chart in charts])),
        policy=_policy(library, script),
    )


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _json(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _policy(*scripts: str) -> str:
    """Return what the browser is to allow: these scripts alone, and nothing from elsewhere."""
    sums = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in sums)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    return files("parttag.evaluation.report").joinpath(name).read_text(encoding="utf-8")


@cache
def vega() -> str:
    """Return the charts' library, Vega-Lite with all that it needs, as one script.

    ``vl-convert-python`` has it inside and puts it together in some seconds: once, it is then kept
    where programs keep such things.
    """
    import vl_convert

    name = f"vega-embed-of-vl-convert-{version('vl-convert-python')}.js"
    path = Path(pooch.os_cache("parttag")) / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        text: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # As it stands in a page, no text of it may end the script.
    text = text.replace("</script", "<\\/script")
    with suppress(InputError):  # of a home that cannot be written to: made anew the next time
        write_file(path, text.encode())
    return text


def _backgrounds(runs: Sequence[ReportedRun]) -> str:
    found = dict.fromkeys(
        " + ".join(run.report.background) for run in runs if run.report and run.report.background
    )
    return " or ".join(found) or "the background"


def _metrics(runs: Sequence[ReportedRun]) -> tuple[list[str], list[list[str]]]:
    """Return the names of all metrics, and a line of values with errors for each run."""
    known = {
        run.name: {} if run.report is None else {row[0]: row[1:] for row in run.report.rows()}
        for run in runs
    }
    names = list(dict.fromkeys(name for rows in known.values() for name in rows))
    lines = [
        [run.name, *(" ".join(known[run.name].get(name, ("–", ""))).strip() for name in names)]
        for run in runs
    ]
    return names, lines


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    """Return what was trained on what, where and when."""
    starts = run.provenance.get("starts", [])
    last: Mapping[str, Any] = starts[-1] if isinstance(starts, list) and starts else {}
    hardware = last.get("hardware", {})
    packages = last.get("packages", {})
    facts = {
        "Network": f"{run.network}, {run.num_parameters:,} parameters",
        "Classes": ", ".join(run.classes),
        **{f"Data: {part}": ", ".join(names) for part, names in run.files.items()},
        "Evaluated on": ", ".join(run.report.data) if run.report else "",
        "Epochs": f"{run.epochs[-1]['epoch']:.0f}" if run.epochs else "",
        "Directory": run.directory,
        "Trained": " and ".join(str(start.get("time", "")) for start in starts),
        "Command": " ".join(map(str, last.get("command", []))),
        "parttag": f"{last.get('parttag', '')} {last.get('commit') or ''}".strip(),
        "Packages": ", ".join(f"{name} {number}" for name, number in packages.items()),
        "Hardware": ", ".join(f"{key} {v}" for key, v in hardware.items() if v is not None),
    }
    facts |= {
        f"SHA-256, {part}": ", ".join(
            f"{Path(str(file.get('path', file.get('name', '')))).name} {file.get('sha256', '')}"
            for file in listed
        )
        for part, listed in run.provenance.get("data", {}).items()
    }
    return [(name, value) for name, value in facts.items() if value]
