"""The messages of the page on troubleshooting are those that parttag says."""

import ast
import re
from pathlib import Path

import pytest

import parttag

SOURCE = Path(parttag.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "troubleshooting.md"
MESSAGES = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """What the package may say, … for what is put in: every text of its code."""
    found = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "Error" in text else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                found.append("".join(map(str, parts)))
    return found


def is_said(message: str, texts: list[str]) -> bool:
    """Whether the pieces between … stand in one text, in their order."""
    pieces = [re.escape(piece.strip(" ;,:")) for piece in message.split("…") if piece.strip(" ;,:")]
    pattern = re.compile(".*".join(pieces), re.DOTALL)
    return any(pattern.search(text) for text in texts)


def test_every_message_is_one_of_the_package(texts):
    assert len(MESSAGES) > 30
    unknown = [message for message in MESSAGES if not is_said(message, texts)]
    assert not unknown


def test_a_message_that_nobody_says_is_found(texts):
    assert not is_said("… has no branch at all, of … and …", texts)
    assert is_said("… has no branch …; … correct", texts)
