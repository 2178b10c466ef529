"""Output to terminals and files whose encoding lacks some letters: latin-1, or plain ASCII."""

import codecs
import io
import sys

_HANDLER = "parttag.spelled"
# What tables and sentences print beyond ASCII; other letters are written as Python escapes them.
_SPELLED = {
    "−": "-",
    "–": "-",
    "…": "...",
    "±": "+-",
    "×": "x",
    "·": "*",
    "√": "sqrt",
    "²": "^2",
    "ε": "eps",
    "η": "eta",
    "φ": "phi",
    "χ": "chi",
    "Δ": "Delta",
}


def spell_out_what_cannot_be_encoded() -> None:
    """Let nothing that is printed fail for its letters: ε becomes eps where there is no ε."""
    codecs.register_error(_HANDLER, _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    escaped = (c.encode("ascii", "backslashreplace").decode("ascii") for c in letters)
    return "".join(map(_SPELLED.get, letters, escaped)), error.end
