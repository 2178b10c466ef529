"""What each file of a foreign run may do to who loads, continues or evaluates it: nothing."""

import json
import sys

import pytest
import yaml

from helpers.runs import toy_config
from parttag.errors import InputError
from parttag.runs.run import load_run
from parttag.runs.train import train_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    return train_run(toy_config(folder, "training.epochs=1"), folder / "run")


@pytest.fixture
def changed(run):
    """Change a file of the run, and put it back."""
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    yield run
    for path in {*kept, *(p for p in run.rglob("*") if p.is_file())}:
        if path in kept:
            path.write_bytes(kept[path])
        else:
            path.unlink()


PLANTED = "open('executed', 'w').close()\n"


@pytest.mark.parametrize("key", ["model", "objective", "optimizer", "schedule"])
@pytest.mark.parametrize("name", ["planted", "os.system", "planted:Net", "../planted", "__main__"])
def test_a_name_in_a_configuration_imports_nothing(key, name, changed, monkeypatch):
    (changed / "planted.py").write_text(PLANTED)
    monkeypatch.chdir(changed)
    content = yaml.safe_load((changed / "config.yaml").read_text())
    content[key] = {"name": name}
    (changed / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(InputError):
        load_run(changed)
    assert "planted" not in sys.modules
    assert not (changed / "executed").exists()


@pytest.mark.parametrize("name", ["conftest.py", "sitecustomize.py", "torch.py", "parttag.py"])
def test_modules_in_a_run_are_not_imported(name, changed, monkeypatch):
    (changed / name).write_text(PLANTED)
    monkeypatch.chdir(changed)
    load_run(changed)
    assert not (changed / "executed").exists()


@pytest.mark.parametrize(
    "plugins",
    [
        [{"kind": "network", "name": "pfn", "package": "planted", "version": "1"}],
        [{"kind": "network", "name": "pfn", "package": "../planted; rm -rf", "version": "1"}],
        [{"kind": "network"}],
        "planted",
        {"a": 1},
    ],
)
def test_plugins_that_provenance_names_are_not_imported(plugins, changed, monkeypatch):
    (changed / "planted.py").write_text(PLANTED)
    monkeypatch.chdir(changed)
    provenance = json.loads((changed / "provenance.json").read_text())
    provenance["starts"][-1]["plugins"] = plugins
    (changed / "provenance.json").write_text(json.dumps(provenance))
    load_run(changed)
    assert "planted" not in sys.modules
    assert not (changed / "executed").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"starts": 3, "data": {}}', '{"a": NaN', "\x00"]
)
def test_a_provenance_that_is_none_is_one_sentence_and_keeps_the_run(content, changed):
    (changed / "provenance.json").write_text(content)
    config = toy_config(changed.parent, "training.epochs=1")
    best = (changed / "checkpoints" / "best.pt").read_bytes()
    with pytest.raises(InputError, match=r"provenance\.json"):
        train_run(config, changed)
    assert (changed / "checkpoints" / "best.pt").read_bytes() == best


@pytest.mark.parametrize("value", ["/dev/zero", "file:///etc/passwd", "reference://x::file:///y"])
def test_files_that_a_configuration_names_are_not_opened_by_loading(value, changed):
    content = yaml.safe_load((changed / "config.yaml").read_text())
    content["data"]["train"] = [value]
    (changed / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    try:
        load_run(changed)
    except InputError as refusal:
        assert "data.train" in str(refusal) or value in str(refusal)
