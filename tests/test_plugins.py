"""Registries, and what other packages put into them."""

from importlib.metadata import EntryPoint

import pytest

from parttag import plugins
from parttag.errors import InputError
from parttag.plugins import Registry, load_plugins

REGISTRY: Registry[int] = Registry("number")


@pytest.fixture
def found(monkeypatch):
    """Return a list of entry points that are the only ones there are."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "_LOADER", plugins._Loader())
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    return points


def point(name, value):
    return EntryPoint(name, value, plugins.GROUP)


def test_entries_of_a_plugin_are_there_when_they_are_looked_up(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ours_seven.py").write_text(
        "import test_plugins\ntest_plugins.REGISTRY.add('seven', 7)"
    )
    found.append(point("ours", "ours_seven"))
    REGISTRY.add("one", 1)
    assert REGISTRY["seven"] == 7
    assert list(REGISTRY) == ["one", "seven"]
    assert len(REGISTRY) == 2
    assert REGISTRY.plugin_of("seven").package == "ours"
    assert REGISTRY.plugin_of("one") is None


def test_a_broken_plugin_is_one_warning_that_names_it(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_nets.py").write_text("import no_such_package_at_all")
    found.append(point("theirs", "broken_nets"))
    with pytest.warns(UserWarning, match="plug-in theirs is left out: broken_nets") as warned:
        assert load_plugins() == ()
        assert load_plugins() == ()
    assert len(warned) == 1


def test_a_name_is_taken_once():
    registry: Registry[object] = Registry("network")
    entry = object()
    registry.add("a", entry)
    registry.add("a", entry)
    with pytest.raises(InputError, match="there is a network of the name a already"):
        registry.add("a", object())
