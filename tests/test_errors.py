"""Messages name an option in the words of who reads them."""

from parttag.errors import InputError, option


def test_an_option_reads_as_python_and_as_a_flag():
    error = InputError(f"a.h5 exists: add {option('overwrite')}, or {option('out_dir', '')}")
    assert str(error) == "a.h5 exists: add overwrite=True, or out_dir"
    assert error.for_shell() == "a.h5 exists: add --overwrite, or --out-dir"


def test_an_option_has_a_value():
    error = InputError(f"no GPU; choose {option('device', 'cpu')}")
    assert str(error) == 'no GPU; choose device="cpu"'
    assert error.for_shell() == "no GPU; choose --device cpu"


def test_what_is_no_option_stays_as_it_is():
    text = "{braces}, %s, --flags and name=value"
    assert str(InputError(text)) == InputError(text).for_shell() == text
