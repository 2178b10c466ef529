from parttag.evaluation.published import JETCLASS, TOP_TAGGING
from parttag.metrics import working_points


def test_every_line_quotes_rejections_where_ours_are_measured():
    for line in TOP_TAGGING:
        assert set(line.rejection["top"]) <= {0.5, 0.3}
    points = working_points(["QCD", *JETCLASS[0].rejection])
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


def test_the_particle_transformer_is_quoted_as_published():
    line = next(line for line in TOP_TAGGING if line.name == "ParT")
    assert (line.accuracy, line.auc, line.num_parameters) == (0.940, 0.9858, 2.14e6)
    assert (line.rejection["top"][0.5].value, line.rejection["top"][0.5].spread) == (413, 16)
    assert (line.rejection["top"][0.3].value, line.rejection["top"][0.3].spread) == (1602, 81)
