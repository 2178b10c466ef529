"""The pictures of the rooms are those of the code: ``scripts/draw_rooms.py`` draws them again."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def drawing():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield importlib.import_module("draw_rooms")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_the_pictures_are_up_to_date(drawing):
    for name, draw in drawing.PICTURES.items():
        kept = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
        assert draw() == kept, f"run scripts/draw_rooms.py: the imports have changed {name}"


def test_arrows_that_follow_from_others_are_left_out(drawing):
    graph = {"top": {"middle", "low"}, "middle": {"low"}, "low": set(), "beside": {"low"}}
    assert drawing.needed_arrows(graph) == [("beside", "low"), ("middle", "low"), ("top", "middle")]
    assert drawing.floors(graph) == [["low"], ["beside", "middle"], ["top"]]


def test_a_new_room_is_in_the_picture(drawing, tmp_path):
    for room, text in {"low": "", "high": "from package.low import x\n"}.items():
        (tmp_path / "package" / room).mkdir(parents=True)
        (tmp_path / "package" / room / "__init__.py").write_text(f'"""What {room} is."""\n{text}')
    (tmp_path / "package" / "__init__.py").write_text("")
    picture = drawing.draw_rooms(tmp_path / "package")
    assert ">high/<" in picture
    assert "What low is" in picture
    assert picture.count("<line ") == 1


def test_a_room_that_is_gone_is_an_error_on_the_way(drawing, tmp_path):
    with pytest.raises(FileNotFoundError, match="readers has another room"):
        drawing.draw_way(tmp_path)
