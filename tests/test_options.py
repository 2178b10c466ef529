from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt, model_validator

from parttag.errors import InputError
from parttag.options import Options, read_options

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Slow(Options):
    name: Literal["slow"] = "slow"
    step_size: float = Field(default=0.1, gt=0)


class Fast(Options):
    name: Literal["fast"] = "fast"
    fractions: tuple[Fraction, Fraction] = (0.5, 0.5)
    dims: tuple[PositiveInt, ...] = Field(default=(1,), min_length=1)
    jets: PositiveInt | None = None


class Section(Options):
    number: int = Field(default=1, ge=1, le=9)
    flag: bool = False
    kind: Literal["one", "two"] = "one"
    files: dict[str, tuple[str, ...]] = Field(default={})

    @model_validator(mode="after")
    def _not_seven(self):
        if self.number == 7:
            raise ValueError("seven is taken")
        return self


class Everything(Options):
    section: Section = Section()
    method: Annotated[Slow | Fast, Field(discriminator="name")] = Slow()
    texts: str | tuple[str, ...] = "a"
    title: str


# Content, and the sentence that refuses it; {nearest} stands for the words before the nearest key.
REFUSED = [
    ({"section": {"numbr": 1}}, "section.numbr{nearest} section.number"),
    ({"sektion": {}}, "sektion{nearest} section"),
    ({"section": {"step_size": 1}}, "section.step_size{nearest} method.step_size"),
    ({"method": {"name": "fast", "dim": 1}}, "method.dim{nearest} method.dims"),
    (
        {"method": {"name": "fast", "step_size": 1}},
        "method.step_size: method.name fast has no such key; leave it out",
    ),
    ({"section": {"number": 10}}, "section.number is 10, but must be at least 1 and at most 9"),
    ({"section": {"number": 0}}, "section.number is 0, but must be at least 1 and at most 9"),
    ({"section": {"number": "many"}}, "section.number is 'many', but must be a whole number"),
    ({"section": {"number": 1.5}}, "section.number is 1.5, but must be a whole number"),
    ({"section": {"number": 7}}, "section: seven is taken"),
    ({"section": {"flag": "perhaps"}}, "section.flag is 'perhaps', but must be true or false"),
    ({"section": {"kind": "three"}}, "section.kind is 'three', but must be 'one' or 'two'"),
    ({"section": {"files": {"a": 3}}}, "section.files.a is 3, but must be a list"),
    ({"section": {"files": {"a": [3]}}}, "section.files.a.0 is 3, but must be a text"),
    ({"section": {"files": 3}}, "section.files is 3, but must be a section of keys and values"),
    ({"section": 3}, "section is 3, but must be a section of keys and values"),
    (
        {"method": {"name": "fast", "fractions": [0.5, 1.0]}},
        "method.fractions.1 is 1.0, but must be at least 0 and less than 1",
    ),
    (
        {"method": {"name": "fast", "fractions": [0.5]}},
        "method.fractions.1: a value is missing; it must be given",
    ),
    (
        {"method": {"name": "fast", "dims": []}},
        "method.dims is [], but must have 1 or more entries",
    ),
    ({"method": {"name": "fast", "dims": [0]}}, "method.dims.0 is 0, but must be greater than 0"),
    ({"method": {"name": "fast", "jets": -1}}, "method.jets is -1, but must be greater than 0"),
    (
        {"method": {"name": "slow", "step_size": "x"}},
        "method.step_size is 'x', but must be a number",
    ),
    (
        {"method": {"name": "slow", "step_size": float("nan")}},
        "method.step_size is nan, but must be a finite number",
    ),
    ({"method": {"name": "quick"}}, "method.name is 'quick', but must be one of slow, fast"),
    ({"method": {"step_size": 1}}, "method.name is missing; it must be one of slow, fast"),
    ({"method": "slow"}, "method is 'slow', but must be a section of keys and values"),
    ({"texts": 3}, "texts is 3, but must be a text"),
    ({}, "title: a value is missing; it must be given"),
    ({"titel": "x"}, "titel{nearest} title"),
]
NEAREST = ": there is no such key; the nearest known one is"


@pytest.mark.parametrize(("content", "sentence"), REFUSED)
def test_a_wrong_option_is_refused_in_one_sentence(content, sentence):
    given = content if content in ({}, {"titel": "x"}) else {"title": "t", **content}
    with pytest.raises(InputError) as refusal:
        read_options(Everything, given)
    assert str(refusal.value) == sentence.replace("{nearest}", NEAREST)


def test_right_options_are_read():
    content = {"title": "t", "method": {"name": "fast", "dims": [3]}, "section": {"number": 9}}
    options = read_options(Everything, content)
    assert options.method == Fast(dims=(3,))
    assert options.section.number == 9
