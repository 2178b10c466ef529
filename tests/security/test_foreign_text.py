"""Names from files at the terminal: printed as they are, and no control character is sent."""

import logging
import sys

import pytest
from rich.table import Table

from parttag import cli
from parttag.cli import terminal
from parttag.cli.terminal import text_table
from parttag.errors import InputError
from parttag.printable import printable
from parttag.runs.directory import log_to
from parttag.training.distributed import Ranks

HOSTILE = {
    "closing tag": "[/bold]",
    "link": "[link=https://example.org]top[/link]",
    "colour": "[red on red]top[/]",
    "emoji": ":smile:",
    "title of the terminal": "\x1b]0;owned\x07",
    "colour by escape": "\x1b[31mtop",
    "8-bit escape": "\x9b31mtop",
    "clear": "\x1b[2Jtop",
    "back over the line": "top\b\b\bQCD",
    "begin of the line": "top\rQCD",
    "right to left": "top\u202eDCQ",
    "delete": "top\x7f",
    "nul": "a\x00b",
}
CONTROLS = {chr(n) for n in (*range(32), *range(127, 160), 0x202E)} - {"\n"}


def told(text):
    """Return a text as it is to be read; what rich leaves out of texts by itself is left out."""
    return printable(text).translate(dict.fromkeys(map(ord, "␇␈␋␌␍")))


@pytest.fixture
def screen(monkeypatch):
    """What comes at a terminal of 200 columns, which knows colours and links."""

    class Screen:
        def write(self, text):
            self.text += text

        def flush(self):
            pass

        text = ""

    screen = Screen()
    for console in (terminal.console, terminal.errors):
        monkeypatch.setattr(console, "_width", 200)
        # Not "file": its old value would be the stderr of this test, for all that follow.
        monkeypatch.setattr(console, "_file", screen)
    return screen


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("how", ["say", "print", "errors", "table", "cells"])
def test_text_is_printed_as_it_is_and_controls_are_shown(kind, how, screen):
    text = HOSTILE[kind]
    if how == "say":
        terminal.say(text)
    elif how == "print":
        terminal.console.print(text)
    elif how == "errors":
        terminal.errors.print(text)
    elif how == "table":
        terminal.console.print(text_table(text, ("", text), [(text, "1")]))
    else:
        table = Table(title=text)
        table.add_column(text)
        table.add_row(text)
        terminal.console.print(table)
    assert not CONTROLS & set(screen.text)
    assert told(text) in told(screen.text)


def test_controls_are_shown_one_for_one():
    assert printable("\x1b[31m\x07\x9b\u202e\x7f") == "␛[31m␇��␡"
    assert printable("ε_S µ η × é 日本\n\tα") == "ε_S µ η × é 日本\n␉α"
    assert len(printable("\x00\r\n")) == 3


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_error_about_it_is_printed(kind, screen, monkeypatch):
    def fail(**_):
        raise InputError(f"{HOSTILE[kind]}: there is no such file")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert told(f"error: {HOSTILE[kind]}: there is no such file") in told(screen.text)
    assert not CONTROLS & set(screen.text)


def test_a_progress_bar_of_a_file_of_any_name(screen, monkeypatch):
    monkeypatch.setattr(type(terminal.errors), "is_terminal", property(lambda _: True))
    monkeypatch.setattr(terminal, "_BAR_AFTER_SECONDS", -1.0)
    name = "[/red]\x1b]0;owned\x07"
    assert list(terminal.show_progress([1, 2], total=2, description=name)) == [1, 2]
    assert told(name) in told(screen.text)
    assert "\x1b]0" not in screen.text


def test_logs_are_cleaned_at_the_terminal_and_in_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(cli, "app", lambda **_: None)
    cli.main()
    logging.root.handlers[0].setStream(sys.stderr)
    logger = logging.getLogger("parttag.test")
    with log_to(tmp_path / "train.log", Ranks()):
        logger.warning("%s", HOSTILE["title of the terminal"])
    for text in (capsys.readouterr().err, (tmp_path / "train.log").read_text()):
        assert "␛]0;owned␇" in text
        assert not CONTROLS & set(text)
