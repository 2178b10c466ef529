"""Published results, to stand beside our own.

Every number carries the mark of how it was checked:

- V: read in the paper's text or the authors' repository;
- V2: read in another's transcription;
- S: printed in the table of the Particle Transformer paper (arXiv:2202.03772);
- R, U: recalled from the paper, not verified.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["V", "V2", "S", "R", "U"]


@dataclass(frozen=True)
class Rejection:
    """A published 1/ε_B; ``spread`` is that of several trainings, where given."""

    value: float
    spread: float | None = None


@dataclass(frozen=True)
class Published:
    """One line of a published table; ``None`` where it has no number.

    ``rejection`` is by signal class, then by ε_S.
    """

    name: str
    mark: Mark
    accuracy: float | None
    auc: float | None
    rejection: Mapping[str, Mapping[float, Rejection]]
    num_parameters: float | None = None
    pretrained: bool = field(default=False, kw_only=True)
    """Whether it was trained on another data set before: not comparable with training alone."""


# A rejection, with its spread or without.
_Quoted = tuple[int, int] | int | float


def _top(
    name: str,
    mark: Mark,
    num_parameters: float | None,
    accuracy: float | None,
    auc: float | None,
    half: _Quoted | None,
    third: _Quoted,
    *,
    pretrained: bool = False,
) -> Published:
    """Return a line of top tagging: rejections at ε_S = 0.5 and 0.3."""
    points = {
        eps_s: Rejection(*map(float, quoted if isinstance(quoted, tuple) else (quoted,)))
        for eps_s, quoted in ((0.5, half), (0.3, third))
        if quoted is not None
    }
    return Published(
        name, mark, accuracy, auc, {"top": points}, num_parameters, pretrained=pretrained
    )


TOP_TAGGING: tuple[Published, ...] = (
    _top("P-CNN", "V", 348e3, 0.930, 0.9803, (201, 4), (759, 24)),
    _top("PFN", "V", 82e3, 0.932, 0.9819, (247, 3), (888, 17)),
    _top("LGN", "S", 4.5e3, 0.929, 0.964, None, (435, 95)),
    _top("JEDI-net with ΣO", "S", None, 0.930, 0.9807, None, 774.6),
    _top("rPCN", "S", None, None, 0.9845, (364, 9), (1642, 93)),
    _top("simple PCT", "U", 58.9e3, 0.929, 0.9799, (201, 9), (725, 54)),
    _top("PCT", "S", 193e3, 0.940, 0.9855, (392, 7), (1533, 101)),
    _top("ParticleNet-Lite", "U", 26e3, 0.937, 0.9844, (325, 5), (1262, 49)),
    _top("ParticleNet", "V", 366e3, 0.940, 0.9858, (397, 7), (1615, 93)),
    _top("ParT", "V", 2.14e6, 0.940, 0.9858, (413, 16), (1602, 81)),
    _top("ParT, longer training", "V2", 2.1e6, 0.9416, 0.9865, 485, (1808, 33)),
    _top("LorentzNet", "V", 224e3, 0.942, 0.9868, (498, 18), (2195, 173)),
    _top("PELICAN", "V", 208e3, 0.9426, 0.9870, None, (2250, 75)),
    _top("L-GATr", "V", 1.1e6, 0.9423, 0.9870, (540, 20), (2240, 70)),
    _top("L-GATr-slim", "V", 2.0e6, 0.9420, 0.9869, (546, 7), (2264, 93)),
    _top("LLoCa-Transformer", "V", 2.0e6, 0.9416, 0.9866, (492, 15), (2150, 130)),
    _top("ParticleNet-f.t.", "V", 366e3, 0.942, 0.9866, (487, 9), (1771, 80), pretrained=True),
    _top("ParT-f.t.", "V", 2.14e6, 0.944, 0.9877, (691, 15), (2766, 130), pretrained=True),
    _top("L-GATr-f.t.", "V", 1.1e6, 0.9446, 0.98793, (651, 11), (2894, 84), pretrained=True),
    _top("L-GATr-slim-f.t.", "V", 48e6, 0.9446, 0.9880, (693, 17), (3062, 84), pretrained=True),
    _top("OmniLearned-L", "V", 423e6, 0.944, 0.9880, (688, 9), (3486, 157), pretrained=True),
)
"""Top Quark Tagging Reference Dataset: trained on 1.2M jets, tested on 404k.

PFN's accuracy is blank in the table of the Particle Transformer paper; the one here was read in the
tables of later papers.
"""


def _quark_gluon(
    name: str,
    accuracy: float,
    auc: float,
    half: tuple[float, float],
    third: tuple[float, float],
    *,
    pretrained: bool = False,
) -> Published:
    """Return a line of quarks and gluons, recalled: rejections of gluons at ε_S = 0.5 and 0.3."""
    points = {0.5: Rejection(*half), 0.3: Rejection(*third)}
    return Published(name, "R", accuracy, auc, {"quark": points}, pretrained=pretrained)


QUARK_GLUON: tuple[Published, ...] = (
    _quark_gluon("LorentzNet", 0.844, 0.9156, (42.4, 0.4), (110.2, 1.3)),
    _quark_gluon("ParT, charge and kind", 0.840, 0.9121, (41.3, 0.3), (101.2, 1.1)),
    _quark_gluon("ParT", 0.849, 0.9203, (47.9, 0.5), (129.5, 0.9)),
    _quark_gluon("ParT-f.t.", 0.852, 0.9230, (50.6, 0.2), (138.7, 1.3), pretrained=True),
)
"""Quark and gluon jets of EnergyFlow: trained on 1.6M, tested on 200k (arXiv:2202.03772).

"charge and kind" sees what a detector tells of a particle; the others know the species of hadrons.
"""

_JETCLASS_POINTS = {
    **dict.fromkeys(("Hbb", "Hcc", "Hgg", "H4q"), 0.5),
    "Hqql": 0.99,
    "Tbqq": 0.5,
    "Tbl": 0.995,
    "Wqq": 0.5,
    "Zqq": 0.5,
}


def _jetclass(name: str, accuracy: float, auc: float, *rejections: int) -> Published:
    """Return a line of JetClass: rejections of QCD at the efficiency of each class."""
    numbers = zip(_JETCLASS_POINTS.items(), rejections, strict=True)
    rejection = {signal: {eps_s: Rejection(float(value))} for (signal, eps_s), value in numbers}
    return Published(name, "V", accuracy, auc, rejection)


JETCLASS: tuple[Published, ...] = (
    _jetclass("PFN", 0.772, 0.9714, 2924, 841, 75, 198, 265, 797, 721, 189, 159),
    _jetclass("P-CNN", 0.809, 0.9789, 4890, 1276, 88, 474, 947, 2907, 2304, 241, 204),
    _jetclass("ParticleNet", 0.844, 0.9849, 7634, 2475, 104, 954, 3339, 10526, 11173, 347, 283),
    _jetclass("ParT", 0.861, 0.9877, 10638, 4149, 123, 1864, 5479, 32787, 15873, 543, 402),
    _jetclass("LLoCa-ParT", 0.864, 0.9882, 11561, 4640, 125, 2037, 5900, 41667, 19231, 552, 419),
    _jetclass("L-GATr", 0.866, 0.9885, 12987, 4819, 128, 2311, 6116, 47619, 20408, 588, 432),
)
"""JetClass: trained on 100M jets; as quoted together in arXiv:2505.20280."""
