"""Versions of formats: the steps are applied in order, and what is no version is refused."""

import pytest

from parttag.errors import InputError
from parttag.migrations.formats import Format, NewerFormatError


def step(number):
    return lambda content: {**content, "steps": [*content.get("steps", []), number]}


TOYS = Format("toy", steps=(step(3), step(4)), oldest=3, if_older="play again")


def test_the_steps_from_a_version_on_are_applied_in_order():
    assert TOYS.version == 5
    expected = {3: [3, 4], 4: [4], 5: None}
    for version, steps in expected.items():
        content = {"schema_version": version, "a": 1}
        upgraded = TOYS.upgraded(content, "toy.json")
        assert upgraded == {"schema_version": 5, "a": 1} | ({"steps": steps} if steps else {})
        assert content == {"schema_version": version, "a": 1}


def test_a_file_without_a_version_is_of_the_one_that_is_said():
    assert TOYS.upgraded({}, "toy.json", unmarked=4)["steps"] == [4]


def test_a_newer_file_is_refused():
    with pytest.raises(
        NewerFormatError, match=r"^toy\.json was made by a newer parttag: .* 6, .* 5"
    ):
        TOYS.upgraded({"schema_version": 6}, "toy.json")
    with pytest.raises(NewerFormatError, match="made by a newer parttag"):
        TOYS.upgraded({"schema_version": 10**5000}, "toy.json")


def test_a_file_that_is_too_old_is_refused():
    for content in ({"schema_version": 2}, {}):
        with pytest.raises(
            InputError, match=r"toy\.json is a toy .* reads 3 and later: play again"
        ):
            TOYS.upgraded(content, "toy.json")


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("3", "'3'"),
        (None, "None"),
        (True, "True"),
        (3.0, "3.0"),
        (-1, "-1"),
        pytest.param(-(10**5000), "a number of many digits", id="many digits"),
        ([3], "a list"),
        ("x" * 10_000 + "\n", "'xxx"),
    ],
)
def test_what_is_no_version_is_refused_in_one_sentence(version, shown):
    with pytest.raises(InputError) as info:
        TOYS.upgraded({"schema_version": version}, "toy.json")
    text = str(info.value)
    assert text.startswith(f"toy.json: schema_version is {shown}")
    assert "\n" not in text
    assert len(text) < 200
