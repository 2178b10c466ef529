"""What tells how to use scores: their reliability, and the fractions of a discriminant."""

from __future__ import annotations

from matplotlib.axes import Axes

from parttag.metrics.calibration import Reliability
from parttag.metrics.fraction_scan import FractionScan
from parttag.plotting.elements import cycle, draw_legend, plain
from parttag.plotting.styles import Style, drawing


def reliability(
    found: Reliability,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the share of jets of each class against their mean score of it, bin by bin.

    Parameters
    ----------
    found
        Of an evaluation; of two classes only the first is drawn, whose mirror image the other is.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    curves = list(found.by_class.items())
    shown = curves[:1] if len(curves) == 2 else curves
    with drawing(ax, style, label, (6.2, 5.6)) as axes:
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="share = score")
        for color, (name, curve) in zip(cycle(len(shown)), shown, strict=True):
            axes.errorbar(
                curve.score,
                curve.share,
                yerr=curve.share_error,
                fmt="o-",
                color=color,
                markersize=4,
                linewidth=1,
                label=plain(f"{name}: error {curve.error.value:.4f} ± {curve.error.error:.4f}"),
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(
            "Score of the class" if len(shown) > 1 else plain(f"Score of {shown[0][0]}")
        )
        axes.set_ylabel("Share of jets of the class")
        draw_legend(axes, "upper left", columns=1)
    return axes


def fraction_scan(
    signal: str,
    scan: FractionScan,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the rejection of one class against that of the other, along the fractions.

    Parameters
    ----------
    signal
        The class that is kept.
    scan
        A curve for every signal efficiency; the largest product of both rejections is marked.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    one, other = scan.classes
    efficiencies = list(scan.rejection[one])
    with drawing(ax, style, label, (6.8, 5.6)) as axes:
        for color, eps_s in zip(cycle(len(efficiencies)), efficiencies, strict=True):
            points = [
                (f, a.value, b.value)
                for f, a, b in zip(
                    scan.fractions,
                    scan.rejection[one][eps_s],
                    scan.rejection[other][eps_s],
                    strict=True,
                )
                if a.value > 0 and b.value > 0 and not (a.is_limit or b.is_limit)
            ]
            best = scan.best(eps_s)
            kept = rf"$\varepsilon_{{\mathrm{{S}}}}$ = {eps_s:g}"
            axes.plot(
                [a for _, a, _ in points],
                [b for _, _, b in points],
                ".-",
                color=color,
                label=f"{kept}, largest product at f = {best:g}",
            )
            marked = [(a, b) for f, a, b in points if f == best]
            axes.plot(
                [a for a, _ in marked], [b for _, b in marked], "*", color=color, markersize=12
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(plain(f"Rejection of {one} (fraction f)"))
        axes.set_ylabel(plain(f"Rejection of {other} (fraction 1 − f)"))
        axes.set_title(plain(f"{signal}"), loc="right")
        draw_legend(axes, "best", columns=1)
    return axes
