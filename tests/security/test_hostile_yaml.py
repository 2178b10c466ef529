"""YAML that grows without end, is deep, long, or wrong: a sentence each, in a moment."""

import time

import pytest

from helpers.limits import memory_for
from parttag.errors import InputError
from parttag.runs.config import load_config
from parttag.runs.yaml_files import parse_text, read_content

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
MERGES = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
)
HOSTILE = {
    "aliases": LAUGHS,
    "merges": MERGES,
    "an alias of itself": "a: &a [*a]",
    "a mapping in itself": "a: &a {b: *a}",
    "a merge of itself": "a: &a {<<: *a, b: 1}",
    "lists": "a: " + "[" * 5000 + "]" * 5000,
    "lists without end": "a: " + "[" * 5000,
    "mappings": "a: " + "{a: " * 3000 + "1" + "}" * 3000,
    "blocks": "\n".join(" " * n + "a:" for n in range(3000)),
    "list as key": "[1, 2]: 3",
    "mapping as key": "? {a: 1}\n: 3",
    "no day of the year": "a: 2024-13-45",
    "no time of a day": "a: 2024-01-01 99:99:99",
    "time zone": "a: 2001-12-14t21:59:43.10-99:30",
    "no number": "a: !!int one",
    "no float": "a: !!float one",
    "no truth": "a: !!bool maybe",
    "no base 64": "a: !!binary '%%%'",
    "no timestamp": "a: !!timestamp never",
    "no set": "a: !!set [1]",
    "no pairs": "a: !!pairs {a: 1}",
    "no ordered mapping": "a: !!omap [1, 2]",
    "list for a text": "a: !!str [1]",
    "python": "a: !!python/object/apply:os.system [true]",
    "base 60": "a: 1:99:99:99:99:99:99:99:99:99:99:99:99:99:99:99:99" + ":59" * 3000,
    "digits": "a: " + "9" * 200_000,
    "hexadecimal": "a: 0x" + "f" * 200_000,
    "key of a number": "? !!float nan\n: 1\n? !!float nan\n: 2",
    "surrogate": 'a: "\\ud800"',
    "nul": "a: \x00",
    "control": 'a: "\x1b[31m"',
    "undefined alias": "a: *b",
    "two documents": "a: 1\n---\nb: 2",
    "unknown tag": "a: !x 1",
    "directive": "%YAML 9.9\n---\na: 1",
}
VALID_YAML = ("no base 64", "surrogate", "base 60", "control")


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_ends_in_a_moment_with_a_sentence(kind, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HOSTILE[kind], encoding="utf-8", errors="surrogatepass")
    began = time.process_time()
    with memory_for(1 << 28), pytest.raises(InputError) as refusal:
        load_config(path)
    assert time.process_time() - began < 5
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000
    if kind not in VALID_YAML:
        assert "config.yaml" in str(refusal.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_so_do_texts_of_options_and_overrides(kind, tmp_path):
    text = HOSTILE[kind]
    with memory_for(1 << 28):
        for read in (
            lambda: parse_text("cuts", text),
            lambda: read_content(_empty(tmp_path), [f"a.b={text}"]),
        ):
            try:
                read()
            except InputError as refusal:
                assert len(str(refusal)) < 1000


def _empty(tmp_path):
    (tmp_path / "empty.yaml").write_text("{}")
    return tmp_path / "empty.yaml"


def test_twenty_thousand_keys_are_read_in_time(tmp_path):
    path = tmp_path / "keys.yaml"

    def seconds(number):
        path.write_text("\n".join(f"key{n}: {n}" for n in range(number)))
        began = time.process_time()
        assert len(read_content(path)) == number
        return time.process_time() - began

    # The better of two: whatever else the process cleans up meanwhile is not the reader's.
    many, few = (min(seconds(number) for _ in range(2)) for number in (20_000, 5_000))
    assert many < 8 * few


def test_a_file_larger_than_any_configuration_is_refused_unread(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("w") as file:
        file.truncate(1 << 34)
    with memory_for(1 << 28), pytest.raises(InputError, match=r"huge\.yaml"):
        read_content(path)


def test_aliases_of_honest_size_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: *a\ne: [*a, *a]")
    assert read_content(path) == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 2},
        "e": [{"b": 1, "c": 2}, {"b": 1, "c": 2}],
    }


def test_a_key_given_twice_is_refused_still(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\nb: 2\na: 3")
    with pytest.raises(InputError, match="the key a is given twice"):
        read_content(path)
