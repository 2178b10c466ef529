"""Every shipped configuration is exported at small size, or refused in one sentence."""

from pathlib import Path

import pytest
import yaml

from helpers.networks import SMALL
from helpers.untrained import write_run
from parttag.errors import InputError
from parttag.export.networks import EXPORTED
from parttag.models import MODELS
from parttag.runs.config import build_config, load_config

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "benchmarks")
# What a configuration says of its network besides its sizes.
KEPT = ("name", "pair_bias", "max_particles", "embedding", "reference", "reference_padding")


def small(path):
    """Return the configuration with the sizes of a small network, and measured features."""
    whole = load_config(path)
    content = yaml.safe_load(path.read_text())
    own = {key: v for key, v in content["model"].items() if key in KEPT}
    content = whole.model_dump(mode="json", exclude_unset=True)
    content["model"] = {**SMALL[whole.model.name], **own}
    for section in ("init_from", "tokenizer_from"):
        content.pop(section, None)
    for feature in all_columns(content):
        feature.setdefault("centre", 0.0)
        feature.setdefault("scale", 1.0)
    return build_config(content)


def all_columns(content):
    """Turn every column among the features into a mapping, and yield those."""
    features = content.get("features", "kin")
    lists = list(features.values()) if isinstance(features, dict) else [features]
    of_jet = content.get("jet_features")
    lists.append(of_jet["names"] if isinstance(of_jet, dict) else of_jet)
    for entries in lists:
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, str) and (entries is lists[-1] or not is_known(entry)):
                entries[number] = {"column": entry}
            if isinstance(entries[number], dict):
                yield entries[number]


def is_known(name):
    from parttag.runs.feature_options import FEATURE_SETS, FEATURES

    return name in FEATURE_SETS or name in FEATURES


@pytest.mark.parametrize("path", RUNS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_configuration_is_exported_or_refused(path, tmp_path):
    config = small(path)
    if MODELS[config.model.name].network not in EXPORTED:
        with pytest.raises(InputError, match=r"cannot be exported|gives jets no scores"):
            write_run(config, tmp_path / "run").export(tmp_path / "model.onnx")
        return
    run = write_run(config, tmp_path / "run")
    output = "softmax" if config.is_classifier else "embedding"
    report = run.export(tmp_path / "model.onnx", output=output)
    assert report.differences.largest <= 1e-5
