"""Registries, and what other packages put into them."""

import importlib
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


def write_plugin(folder, name, code):
    (folder / f"{name}.py").write_text(f"from test_plugins import REGISTRY, Thing\n{code}\n")


class Thing:
    """An entry that says where it is defined, as classes and functions do."""

    def __init__(self, module):
        self.__module__, self.__qualname__ = module, f"Thing of {module}"


def test_what_a_plugin_imports_first_is_not_its_own(found, tmp_path, monkeypatch):
    """Parttag's own entries, and those of another plug-in, may be there only because of it."""
    monkeypatch.syspath_prepend(tmp_path)
    write_plugin(tmp_path, "plugin_b", "REGISTRY.add('b', Thing(__name__))")
    code = "REGISTRY.add('own', Thing('parttag.models.pfn'))\nREGISTRY.add('a', Thing(__name__))"
    write_plugin(tmp_path, "plugin_a", f"import plugin_b\n{code}")
    found += [point("a", "plugin_a"), point("b", "plugin_b")]
    assert REGISTRY.plugin_of("a").package == "a"
    assert REGISTRY.plugin_of("b").package == "b"
    assert REGISTRY.plugin_of("own") is None


def test_a_plugin_that_was_imported_before_is_known(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write_plugin(tmp_path, "plugin_early", "REGISTRY.add('early', Thing(__name__))")
    importlib.import_module("plugin_early")
    found.append(point("early-bird", "plugin_early"))
    assert REGISTRY.plugin_of("early").package == "early-bird"


def test_nothing_of_a_plugin_that_is_left_out_stays(found, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "REGISTRY.add('half', Thing(__name__))\nraise SystemExit(1)"
    write_plugin(tmp_path, "plugin_half", code)
    found.append(point("half", "plugin_half"))
    with pytest.warns(UserWarning, match="plug-in half is left out"):
        assert "half" not in REGISTRY


def test_an_entry_point_that_names_no_module_is_a_warning(found):
    found.append(point("typo", "no module: at all"))
    with pytest.warns(UserWarning, match="plug-in typo is left out: no module: at all"):
        assert load_plugins() == ()


def test_a_definition_that_is_run_again_replaces_the_first():
    """As a cell of a notebook is."""
    registry: Registry[tuple[object, str]] = Registry("network")
    for paper in ("one", "two"):
        thing = Thing("notebook")
        registry.add("net", (thing, paper), definition=thing)
    assert registry["net"][1] == "two"
    with pytest.raises(InputError, match="there is a network of the name net already"):
        registry.add("net", (thing, "three"), definition=Thing("elsewhere"))


def test_a_name_is_taken_once():
    registry: Registry[object] = Registry("network")
    entry = object()
    registry.add("a", entry)
    registry.add("a", entry)
    with pytest.raises(InputError, match="there is a network of the name a already"):
        registry.add("a", object())
