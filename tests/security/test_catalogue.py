"""The catalogue of attacks names tests that there are."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (.+?) \| .+? \| `(tests/[\w/]+\.py)(?:::(\w+))?` \|$",
    "\n".join(path.read_text() for path in REPOSITORY.glob("docs/developers/attacks_*.md")),
    re.MULTILINE,
)


def test_there_are_sixty_attacks_and_more_each_of_them_once():
    assert len(ROWS) >= 60
    assert len({attack for attack, _, _ in ROWS}) == len(ROWS)


def test_every_test_is_there():
    for _, path, name in ROWS:
        text = (REPOSITORY / path).read_text()
        assert not name or f"def {name}(" in text, f"{path} has no {name}"
