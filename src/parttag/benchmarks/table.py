"""The table as it is read: a line of texts for each row, and what a reader has to know."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parttag.benchmarks.footnotes import change_notes
from parttag.benchmarks.results import Point, Quantity, RowResult
from parttag.metrics import CONFIDENCE_LEVEL
from parttag.metrics.published import Published

_NONE = "–"


@dataclass(frozen=True)
class Table:
    """Headers, and a line of texts for each row; below it what a reader has to know."""

    headers: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    num_metrics: int
    """So many columns, the first, are rows and metrics: what a terminal has room for."""


def make_table(results: Sequence[RowResult]) -> Table:
    """Return the table of some rows."""
    points = _points(results)
    notes = _Notes()
    common, own = _shared(results)
    shows_published = any(result.published for result in results)
    lines = [
        _line(result, points, notes, texts, shows_published=shows_published)
        for result, texts in zip(results, own, strict=True)
    ]
    with_labels = any(result.labels is not None for result in results)
    headers = (
        "",
        *(["labels"] if with_labels else []),
        "seeds",
        "accuracy",
        "AUC",
        *(_point_name(point, points) for point in points),
        "parameters",
        "multiply-adds",
        "jets seen",
        "time",
        "jets/s",
        *(f"publ. {name}" for name in ("accuracy", "AUC") if shows_published),
        *(f"publ. {_point_name(point, points)}" for point in points if shows_published),
    )
    all_notes = (*_explanations(results), *common, *notes.listed())
    num_metrics = 4 + with_labels + len(points)
    return Table(headers, tuple(lines), all_notes, num_metrics)


# -------------------------------------------------------------------------------------- the cells


class _Notes:
    """Numbers the footnotes; rows of the same text share one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str | None) -> str:
        if not text:
            return ""
        return f" [{self._numbers.setdefault(text, len(self._numbers) + 1)}]"

    def listed(self) -> list[str]:
        return [f"[{number}] {text}" for text, number in self._numbers.items()]


def _shared(results: Sequence[RowResult]) -> tuple[list[str], list[list[str]]]:
    """Return what is to be said of all rows, and of each one besides."""
    in_all = [
        note
        for note in (results[0].notes if len(results) > 1 else ())
        if all(note in result.notes for result in results)
    ]
    changed, own_changes = change_notes([result.row for result in results])
    common = [f"All rows: {'; '.join(in_all)}."] if in_all else []
    common += [changed] if changed is not None else []
    own = [
        [note for note in (*result.notes, change) if note is not None and note not in in_all]
        for result, change in zip(results, own_changes, strict=True)
    ]
    return common, own


def _line(
    result: RowResult,
    points: Sequence[Point],
    notes: _Notes,
    texts: Sequence[str],
    *,
    shows_published: bool,
) -> tuple[str, ...]:
    name = result.name + "".join(map(notes.mark, (result.row.options.footnote, *texts)))
    for why, seeds in _by_reason(result.missing).items():
        which = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        name += notes.mark(f"{result.row.title}, {which}: {why}")
    jets_seen = _count(result.jets_seen)
    if result.is_cut:
        jets_seen += notes.mark("ended by training.max_seconds before its last step")
    return (
        name,
        *([] if result.labels is None else [f"{result.labels:,}"]),
        str(len(result.seeds)) if result.seeds else _NONE,
        quantity(result.accuracy, ".4f"),
        quantity(result.auc, ".4f"),
        *(_rejection(result.rejection.get(point)) for point in points),
        _count(result.parameters),
        _count(result.multiply_adds),
        jets_seen,
        _duration(result.charged_time),
        _count(_ratio(result.jets_seen, result.charged_time)),
        *(_published(result.published, points) if shows_published else ()),
    )


def quantity(value: Quantity, style: str) -> str:
    """Return ``mean ± whole error [spread over seeds]``, or what there is of it."""
    if value.value is None:
        return _NONE
    if value.is_limit:
        return f"> {value.value:{style}}"
    estimate = value.estimate
    error = "" if math.isnan(estimate.error) else f" {estimate.errors_text(style)}"
    spread = "" if value.spread is None else f" [{value.spread:{style}}]"
    return f"{value.value:{style}}{error}{spread}"


def _rejection(value: Quantity | None) -> str:
    if value is None:
        return _NONE
    return quantity(value, ".1f" if (value.value or 0) < 100 else ".0f")


def _published(published: Published | None, points: Sequence[Point]) -> list[str]:
    mark = f" ({published.mark})" if published else ""
    values = (_of(published, "accuracy"), _of(published, "auc"))
    texts = [_three_digits(value) + (mark if value is not None else "") for value in values]
    return texts + [_published_rejection(published, point) for point in points]


def _published_rejection(published: Published | None, point: Point) -> str:
    signal, eps_s = point
    quoted = published and published.rejection.get(signal, {}).get(eps_s)
    if not published or not quoted:
        return _NONE
    spread = "" if quoted.spread is None else f" ± {quoted.spread:g}"
    return f"{quoted.value:g}{spread} ({published.mark})"


def _of(published: Published | None, key: str) -> float | None:
    return None if published is None else getattr(published, key)


def _three_digits(value: float | None) -> str:
    """Return a published number between 0 and 1 as it is printed: 0.930, 0.9416."""
    return _NONE if value is None else f"{value:.4f}".removesuffix("0")


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator and denominator else None


def _count(value: int | float | None) -> str:
    """Return a number to three digits, with k, M, G for thousands and more."""
    if value is None:
        return _NONE
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _points(results: Sequence[RowResult]) -> list[Point]:
    return list(dict.fromkeys(point for result in results for point in result.rejection))


def _point_name(point: Point, points: Sequence[Point]) -> str:
    signal, eps_s = point
    several = len({name for name, _ in points}) > 1
    return f"1/ε_B {signal + ' ' if several else ''}at {100 * eps_s:.4g} %"


def _by_reason(missing: Mapping[int, str]) -> dict[str, list[int]]:
    reasons: dict[str, list[int]] = {}
    for seed, why in missing.items():
        reasons.setdefault(why, []).append(seed)
    return reasons


def _same_jets(results: Sequence[RowResult]) -> str:
    config = results[0].row.config
    if config is not None and config.data.draw_by_seed:
        return "the same for all rows and others for each seed"
    return "the same for all rows and seeds"


def _explanations(results: Sequence[RowResult]) -> list[str]:
    """Return what holds for the whole table."""
    notes = [
        "Ours: mean over seeds, of rejections 1/mean(ε_B), with its 68 % interval, and in brackets "
        "the standard deviation over seeds. The interval is of the test jets, which all seeds "
        "share, and of the trainings, √(spread²/n + error²); with one seed of the test jets alone. "
        f"> is a lower limit at {CONFIDENCE_LEVEL:.0%} confidence: no background jet survives.",
        "Multiply-adds: of one forward pass for one jet, in matrix products, convolutions and "
        "attention; mean over test jets. Time and jets/s: of the training without validations, by "
        "the clock on a GPU, in processor time of all threads on a CPU; a mean over seeds.",
    ]
    if any(result.labels is not None for result in results):
        notes.append(
            f"Labels: training jets with their labels, {_same_jets(results)}, the smaller numbers "
            "drawn from the larger; a pre-training may have seen others. Time, jets seen and "
            "jets/s: without it."
        )
    hardware = sorted({result.hardware for result in results if result.seeds})
    if hardware:
        notes.append(f"Trained on: {'; '.join(hardware)}.")
    if any(result.published for result in results):
        notes.append(
            "Published: on the full training and test sets, ± is a spread over trainings. V: read "
            "in the paper or the authors' repository; V2: in another's transcription; S: in the "
            "table of arXiv:2202.03772; U, R: recalled, not verified."
        )
    return notes
