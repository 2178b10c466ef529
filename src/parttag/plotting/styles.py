"""Styles, axes and files of pictures: the only place where a figure is made or saved.

Figures are made without pyplot, so that no state is left behind and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib.style
import mplhep
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from parttag.errors import InputError
from parttag.plotting.elements import plain
from parttag.system.atomic_files import whole_file

Style = Literal["parttag", "CMS", "ATLAS"]
PictureFormat = Literal["png", "pdf", "svg"]
PictureFile = str | Path | FileIO | BytesIO

FORMATS: tuple[str, ...] = get_args(PictureFormat)
"""Formats that a picture can be saved in."""

# Ours are smaller than the experiments': several panels have to fit into a picture.
_SIZES: dict[str, Any] = {
    "font.size": 14,
    "axes.autolimit_mode": "data",
    "axes.labelsize": 15,
    "axes.labelpad": 6,
    "axes.titlesize": 14,
    "axes.linewidth": 1,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "xtick.major.pad": 5,
    "ytick.major.size": 7,
    "ytick.minor.size": 4,
    "xtick.major.size": 7,
    "xtick.minor.size": 4,
    "legend.fontsize": 12.5,
    "legend.title_fontsize": 12.5,
    "legend.borderpad": 0.4,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.8,
    "mathtext.fontset": "stixsans",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "svg.hashsalt": "parttag",  # equal pictures are equal files
}
_NEUTRAL: dict[str, Any] = {
    # The second one has what the first lacks, letter by letter.
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "legend.frameon": False,
    **{
        f"{axis}tick.{key}": value
        for axis, sides in (("x", ("top", "bottom")), ("y", ("left", "right")))
        for key, value in {
            "direction": "in",
            "minor.visible": True,
            **dict.fromkeys(sides, True),
        }.items()
    },
}
_EXPERIMENTS: dict[str, Any] = {"CMS": mplhep.cms, "ATLAS": mplhep.atlas}
# When and with what a file was made is left out: equal pictures are equal files.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


@cache
def _options(style: str) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "parttag": _NEUTRAL,
        "CMS": dict(mplhep.style.CMS),
        "ATLAS": dict(mplhep.style.ATLAS),
    }
    if style not in own:
        raise InputError(f"there is no style {style!r} of pictures; take one of {', '.join(own)}")
    return {**own[style], **_SIZES}


def style_context(style: str) -> AbstractContextManager[None]:
    """Give matplotlib's settings of a style while the block lasts, whatever they are outside.

    Raises
    ------
    InputError
        If there is no such style.
    """
    return matplotlib.style.context(_options(style), after_reset=True)


class StyledFigure(Figure):
    """A figure that keeps its style until it is drawn or saved, which may be long after.

    Matplotlib reads some settings, ticks and fonts of formulas among them, as late as that.
    """

    def __init__(self, size: tuple[float, float], style: Style = "parttag") -> None:
        self.style: Style = style
        with style_context(style):
            super().__init__(figsize=size)
            FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draw everything in the figure's own style."""
        with style_context(self.style):
            super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save it as matplotlib does, in the figure's own style."""
        with style_context(self.style):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        file = BytesIO()
        save_figure(self, file, "png")
        return file.getvalue()


def figure_panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    style: Style = "parttag",
    **options: Any,
) -> tuple[StyledFigure, list[Axes]]:
    """Return a figure of so many inches, and its panels row by row.

    Parameters
    ----------
    options
        Of matplotlib's ``Figure.subplots``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    figure = StyledFigure(size, style)
    with style_context(style):
        panels = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(panels.flat)


@contextmanager
def drawing(
    ax: Axes | None, style: Style | None, label: str | None, size: tuple[float, float]
) -> Iterator[Axes]:
    """Give the axes to draw on, in their style, and write the experiment's label at the end.

    Parameters
    ----------
    ax
        Made if there are none, in a figure of ``size`` inches.
    style
        Of what is drawn; by default that of the figure if it is one of ours, else the settings that
        are in force. Axes made here are neutral by default.
    label
        Text beside the name of the style's experiment, above the axes.

    Raises
    ------
    InputError
        If there is no such style.
    """
    if ax is None:
        figure, (axes,) = figure_panels(1, 1, size, style or "parttag")
        style = figure.style
    else:
        axes = ax
        if style is None and isinstance(ax.figure, StyledFigure):
            style = ax.figure.style
    with nullcontext() if style is None else style_context(style):
        yield axes
        if label is not None:
            _write_label(axes, style, plain(label))


def _write_label(axes: Axes, style: Style | None, label: str) -> None:
    if style in _EXPERIMENTS:
        # Mplhep measures the axes, which have their size only when they have been laid out.
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        _EXPERIMENTS[style].label(f" {label}", ax=axes, loc=0, data=True, rlabel="", fontsize=15)
    else:
        axes.set_title(label, loc="left")


def save_figure(
    figure: Figure, file: PictureFile, picture_format: PictureFormat | None = None
) -> None:
    """Save a picture; equal pictures are equal files.

    Parameters
    ----------
    file
        A path, which has all of the picture or is left as it was, or an open file.
    picture_format
        By default what the suffix of the path says.

    Raises
    ------
    InputError
        If no format is given and the suffix is none of ``FORMATS``, or the path cannot be written.
    """
    if isinstance(file, (str, Path)):
        path = Path(file)
        chosen = picture_format or _format_of(path)
        with whole_file(path) as partial:
            figure.savefig(partial, format=chosen, metadata=_METADATA[chosen])
    else:
        chosen = picture_format or "png"
        figure.savefig(file, format=chosen, metadata=_METADATA[chosen])


def _format_of(path: Path) -> str:
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"{path}: pictures are saved as {endings}; end the name with one of them")
    return suffix
