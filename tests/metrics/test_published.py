from pathlib import Path

import pytest

from parttag.metrics import discriminants
from parttag.metrics.published import JETCLASS, TOP_TAGGING, Rejection
from parttag.runs.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_line_quotes_rejections_where_ours_are_measured():
    for line in TOP_TAGGING:
        assert set(line.rejection["top"]) <= {0.5, 0.3}
    config = load_config(CONFIGS / "jetclass" / "particle_transformer_full.yaml")
    found = discriminants(tuple(config.data.classes), config.evaluation)
    points = {name: score.working_points for name, score in found.items()}
    for line in JETCLASS:
        assert {name: tuple(p) for name, p in line.rejection.items()} == points


def test_names_are_unique_and_numbers_are_possible():
    for table in (TOP_TAGGING, JETCLASS):
        assert len({line.name for line in table}) == len(table)
        for line in table:
            assert all(0.7 < n < 1 for n in (line.accuracy, line.auc) if n is not None)
            for points in line.rejection.values():
                assert all(p.value > 1 and (p.spread or 0) < p.value for p in points.values())
                # The tighter cut rejects more.
                assert list(points.values()) == sorted(points.values(), key=lambda p: p.value)


# Restated: mark, parameters, accuracy, AUC, 1/ε_B at ε_S = 0.5 and at 0.3, each with its spread.
TABLE = """
P-CNN                 | V  | 348k  | 0.930  | 0.9803  | 201 ± 4  | 759 ± 24
PFN                   | V  | 82k   | 0.932  | 0.9819  | 247 ± 3  | 888 ± 17
LGN                   | S  | 4.5k  | 0.929  | 0.964   | –        | 435 ± 95
JEDI-net with ΣO      | S  | –     | 0.930  | 0.9807  | –        | 774.6
rPCN                  | S  | –     | –      | 0.9845  | 364 ± 9  | 1642 ± 93
simple PCT            | U  | 58.9k | 0.929  | 0.9799  | 201 ± 9  | 725 ± 54
PCT                   | S  | 193k  | 0.940  | 0.9855  | 392 ± 7  | 1533 ± 101
ParticleNet-Lite      | U  | 26k   | 0.937  | 0.9844  | 325 ± 5  | 1262 ± 49
ParticleNet           | V  | 366k  | 0.940  | 0.9858  | 397 ± 7  | 1615 ± 93
ParT                  | V  | 2.14M | 0.940  | 0.9858  | 413 ± 16 | 1602 ± 81
ParT, longer training | V2 | 2.1M  | 0.9416 | 0.9865  | 485      | 1808 ± 33
LorentzNet            | V  | 224k  | 0.942  | 0.9868  | 498 ± 18 | 2195 ± 173
PELICAN               | V  | 208k  | 0.9426 | 0.9870  | –        | 2250 ± 75
L-GATr                | V  | 1.1M  | 0.9423 | 0.9870  | 540 ± 20 | 2240 ± 70
L-GATr-slim           | V  | 2.0M  | 0.9420 | 0.9869  | 546 ± 7  | 2264 ± 93
LLoCa-Transformer     | V  | 2.0M  | 0.9416 | 0.9866  | 492 ± 15 | 2150 ± 130
ParticleNet-f.t.      | V  | 366k  | 0.942  | 0.9866  | 487 ± 9  | 1771 ± 80
ParT-f.t.             | V  | 2.14M | 0.944  | 0.9877  | 691 ± 15 | 2766 ± 130
L-GATr-f.t.           | V  | 1.1M  | 0.9446 | 0.98793 | 651 ± 11 | 2894 ± 84
L-GATr-slim-f.t.      | V  | 48M   | 0.9446 | 0.9880  | 693 ± 17 | 3062 ± 84
OmniLearned-L         | V  | 423M  | 0.944  | 0.9880  | 688 ± 9  | 3486 ± 157
"""
RESTATED = {
    name.strip(): [cell.strip() for cell in cells]
    for name, *cells in (line.split("|") for line in TABLE.strip().splitlines())
}


def number(text):
    """Return the number of a cell, ``None`` for a dash."""
    if text == "–":
        return None
    factor = {"k": 1e3, "M": 1e6}.get(text[-1], 1)
    return float(text.rstrip("kM")) * factor


def test_every_line_of_top_tagging_is_quoted_as_published():
    assert {line.name for line in TOP_TAGGING} == set(RESTATED)
    for line in TOP_TAGGING:
        mark, parameters, accuracy, auc, half, third = RESTATED[line.name]
        assert line.mark == mark
        assert line.num_parameters == pytest.approx(number(parameters))
        assert (line.accuracy, line.auc) == (number(accuracy), number(auc))
        points = {}
        for eps_s, cell in ((0.5, half), (0.3, third)):
            value, *spread = (number(part.strip()) for part in cell.split("±"))
            if value is not None:
                points[eps_s] = Rejection(value, *spread)
        assert line.rejection == {"top": points}


def test_those_pre_trained_on_other_jets_are_marked():
    pretrained = {line.name for line in TOP_TAGGING if line.pretrained}
    assert pretrained == {name for name in RESTATED if "f.t." in name} | {"OmniLearned-L"}
