"""Output where the encoding lacks the letters of physics: nothing fails after all the work."""

import io
import sys

import pytest
from matplotlib.figure import Figure

from parttag.cli import main


@pytest.fixture
def printed(monkeypatch):
    """Run parttag with streams of an encoding; give the exit code and what they hold."""
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))

    def run(encoding, *words):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["parttag", *map(str, words)])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as end:
                main()
        for stream in (out, err):
            stream.flush()
        return end.value.code or 0, *(s.buffer.getvalue().decode(encoding) for s in (out, err))

    return run


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_tables_are_printed_in_every_encoding(printed, run_directory, tmp_path, encoding):
    code, out, err = printed(encoding, "evaluate", run_directory, "--out", tmp_path / "é")
    assert code == 0, err
    assert ("1/eps_B at eps_S" in out) == (encoding != "utf-8")
    assert ("1/ε_B at ε_S" in out) == (encoding == "utf-8")
    assert (r"\xe9" in out) == (encoding == "ascii")


def test_a_name_that_cannot_be_encoded_is_escaped(printed, tmp_path):
    code, _, err = printed("latin-1", "inspect", tmp_path / "žádné.root")
    assert code == 2
    assert r"\u017eádné.root: there is no such file" in err
