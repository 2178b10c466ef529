"""A page a network: paper, parts, recipe, published and measured numbers, every option."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import configuration_pages
import yaml
from markdown import code, index, plain, table
from render_results import RESULTS, cell

from parttag.benchmarks.costs import num_parameters
from parttag.metrics.published import TOP_TAGGING, Published, Rejection
from parttag.models.registry import MODELS, ModelEntry
from parttag.models.tagger import Tagger
from parttag.runs.config import load_config
from parttag.runs.run import build_network

_CONFIGS = Path(__file__).parents[2] / "configs"
_TABLE = "benchmarks/toptagging.yaml"
_HEADER = ("row", "accuracy", "AUC", "1/ε_B at 50 %", "1/ε_B at 30 %", "mark", "footnote")
_MEASURED_HEADER = ("table", "row", "accuracy", "AUC", "1/ε_B at 50 %", "1/ε_B at 30 %")
_MARKS = (
    "V: read in the paper or the authors' repository; V2: in another's transcription; S: in the "
    "table of arXiv:2202.03772; R, U: recalled, not verified."
)


def pages() -> Mapping[str, str]:
    """Return the pages of the networks, and the one that lists them."""
    sections = {
        part.choice: part for part in configuration_pages.sections() if part.path == "model"
    }
    made = {
        f"networks/{name}": _page(name, entry, sections[name]) for name, entry in MODELS.items()
    }
    made["networks/index"] = index(
        "Networks",
        "`model: {name: …}` chooses one. Each page is made of the code: what the network is, its "
        "parts, the recipe as published, its options.",
        MODELS,
    )
    return made


def _page(name: str, entry: ModelEntry, section: configuration_pages.Section) -> str:
    module = inspect.getmodule(entry.network)
    text = plain(inspect.cleandoc((module and module.__doc__) or ""))
    number = entry.paper.removeprefix("arXiv:")
    paper = f"Paper: [{entry.paper}](https://arxiv.org/abs/{number})" if number else ""
    blocks = [f"# {name}", text, paper]
    if entry.recipe:
        blocks += _recipe(entry.recipe)
    if rows := list(_published(name)):
        blocks += ["## Published", table(_HEADER, rows), _MARKS]
    if rows := list(measured(name)):
        blocks += ["## Measured", table(_MEASURED_HEADER, rows)]
    blocks += ["## Options", configuration_pages.key_table(section)]
    return "\n\n".join(block for block in blocks if block)


def _recipe(recipe: str) -> Iterator[str]:
    text = (_CONFIGS / recipe).read_text()
    config = load_config(_CONFIGS / recipe)
    network, _ = build_network(config)
    yield f"## Recipe\n\n`parttag train {recipe.removesuffix('.yaml')} …`:\n\n```yaml\n{text}```"
    yield f"## Parts\n\n{num_parameters(network):,} parameters with this recipe."
    yield table(("part", "is", "parameters"), _parts(network))


def _parts(network: Tagger) -> Iterator[tuple[str, str, str]]:
    for name, part in network.named_children():
        inner = list(part.named_children()) if name == "backbone" else []
        for path, module in [(f"{name}.{key}", of) for key, of in inner] or [(name, part)]:
            count = sum(parameter.numel() for parameter in module.parameters())
            yield code(path), type(module).__name__, f"{count:,}"


def _published(name: str) -> Iterator[tuple[str, ...]]:
    """Return the rows of the top-tagging table with this network, as published."""
    published = {line.name: line for line in TOP_TAGGING}
    for title, row in yaml.safe_load((_CONFIGS / _TABLE).read_text())["rows"].items():
        config = yaml.safe_load((_CONFIGS / "benchmarks" / row["recipe"]).read_text())
        if config["model"]["name"] == name and row.get("published") in published:
            line = published[row["published"]]
            yield (title, *_numbers(line), row.get("footnote", ""))


def measured(name: str, results: Path = RESULTS) -> Iterator[tuple[str, ...]]:
    """Return the rows with this network of the tables that are kept, by the names of tables."""
    for path in sorted(results.glob("*/table.json")):
        title = path.parent.name
        config = _CONFIGS / "benchmarks" / f"{title}.yaml"
        rows = yaml.safe_load(config.read_text())["rows"] if config.exists() else {}
        for found in json.loads(path.read_text()):
            recipe = rows.get(found["row"], {}).get("recipe")
            if recipe is None:
                continue
            network = yaml.safe_load((config.parent / recipe).read_text())["model"]["name"]
            if network == name and found["accuracy"]["value"] is not None:
                points = next(iter(found["rejection"].values()), {})
                numbers = [cell(found["accuracy"], 4), cell(found["auc"], 4)]
                numbers += [cell(points.get(eps_s)) for eps_s in ("0.5", "0.3")]
                yield (title, found["row"], *numbers)


def _numbers(line: Published) -> tuple[str, ...]:
    points = line.rejection.get("top", {})
    return (
        "" if line.accuracy is None else str(line.accuracy),
        "" if line.auc is None else str(line.auc),
        *(_rejection(points.get(eps_s)) for eps_s in (0.5, 0.3)),
        line.mark,
    )


def _rejection(of: Rejection | None) -> str:
    if of is None:
        return ""
    return f"{of.value:g}" + ("" if of.spread is None else f" ± {of.spread:g}")
