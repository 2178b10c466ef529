"""Every key of the configuration, from its JSON schema: type, range, default and text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markdown import code, index, plain, table

from parttag.api.command_line import json_schema

__all__ = ["Section", "key_table", "pages", "sections"]

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}


@dataclass(frozen=True)
class Section:
    """A mapping of keys, as the configuration holds it at ``path``."""

    path: str
    choice: str
    """The ``name`` that chooses it among others, or nothing."""
    definition: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What the page calls it."""
        return f"{self.path}: {self.choice}" if self.choice else self.path

    def keys(self) -> list[str]:
        """Return its keys, each with its path."""
        return [f"{self.path}.{key}" if self.path else key for key in self.properties]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schema of each key."""
        return self.definition.get("properties", {})


def sections() -> list[Section]:
    """Return every section of the configuration, those inside of others too."""
    schema = json_schema()
    return list(_sections("", "", schema, schema["$defs"], ()))


def pages() -> Mapping[str, str]:
    """Return a page for each key of the top level, and the one that lists them."""
    schema = json_schema()
    found = sections()
    made = {}
    for key, of in schema["properties"].items():
        inner = [part for part in found if part.path.split(".")[0].split("[")[0] == key]
        text = plain(of.get("description", ""))
        blocks = [f"# {key}", text] if text else [f"# {key}"]
        if not inner:
            blocks.append(key_table(Section("", "", {"properties": {key: of}})))
        blocks += [_block(part) for part in inner]
        made[f"configuration/{key}"] = "\n\n".join(blocks)
    made["configuration/index"] = index(
        "Configuration",
        "A configuration is a YAML file; each key can also be given on the command line, as "
        "`parttag train CONFIG training.epochs=5`. `parttag train CONFIG --print-config` shows all "
        "that a run would have, `parttag schema` is the schema for editors.",
        schema["properties"],
    )
    return made


def _sections(
    path: str,
    choice: str,
    definition: Mapping[str, Any],
    definitions: Mapping[str, Mapping[str, Any]],
    above: tuple[str, ...],
) -> Iterator[Section]:
    section = Section(path, choice, definition)
    if path:
        yield section
    for key, of in section.properties.items():
        inner = f"{path}.{key}" if path else key
        for name, is_list in _references(of):
            if name in above:  # a section that holds itself
                continue
            options = definitions[name]
            chosen = options.get("properties", {}).get("name", {}).get("const", "")
            place = f"{inner}[…]" if is_list else inner
            yield from _sections(place, chosen, options, definitions, (*above, name))


def _references(of: Mapping[str, Any], is_list: bool = False) -> Iterator[tuple[str, bool]]:
    """Return the sections that a key may hold, and whether several of them."""
    if "$ref" in of:
        yield of["$ref"].rsplit("/", 1)[-1], is_list
    for part in (*of.get("anyOf", ()), *of.get("oneOf", ())):
        yield from _references(part, is_list)
    for word in ("items", "additionalProperties"):
        if isinstance(of.get(word), dict):
            yield from _references(of[word], True)


def _block(section: Section) -> str:
    text = plain(section.definition.get("description", ""))
    return "\n\n".join([f"## {code(section.title)}", text, key_table(section)])


def key_table(section: Section) -> str:
    """Return a line for each key of a section."""
    definitions = json_schema()["$defs"]
    if not section.properties:
        return ""
    required = section.definition.get("required", ())
    rows = [
        (
            code(key),
            plain(of.get("description", "")),
            _type(of, definitions),
            _default(of, key in required),
            code(_example(full, key, of, definitions)),
        )
        for (key, of), full in zip(section.properties.items(), section.keys(), strict=True)
    ]
    return table(("key", "is", "type", "default", "example"), rows)


def _type(of: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> str:
    if "const" in of:
        return code(of["const"])
    if "enum" in of:
        return ", ".join(code(str(value)) for value in of["enum"])
    if "$ref" in of:
        referred = definitions[of["$ref"].rsplit("/", 1)[-1]]
        return _type(referred, definitions) if "enum" in referred else "section"
    parts = (*of.get("anyOf", ()), *of.get("oneOf", ()))
    if parts:
        return " or ".join(dict.fromkeys(_type(part, definitions) for part in parts))
    bounds = [text.format(of[word]) for word, text in _BOUNDS.items() if word in of]
    if of.get("type") == "array":
        inner = of.get("prefixItems", [of.get("items", {})])
        kinds = dict.fromkeys(_type(item, definitions) for item in inner)
        return f"list of {', '.join(kinds)}"
    if of.get("type") == "object":
        values = of.get("additionalProperties")
        return f"mapping to {_type(values, definitions)}" if isinstance(values, dict) else "mapping"
    return " ".join([str(of.get("type", "anything")), *bounds])


def _default(of: Mapping[str, Any], is_required: bool) -> str:
    if "default" not in of:
        return "required" if is_required else ""
    return (
        "section"
        if isinstance(of["default"], dict) and of["default"]
        else code(_yaml(of["default"]))
    )


def _example(
    full: str, key: str, of: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return a line of the command line that sets the key."""
    given = [*of.get("examples", ())]
    if not given:
        given = [_some_value(key, of, definitions)]
    return f"{full}={_yaml(given[0])}"


def _some_value(
    key: str, of: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]
) -> Any:
    if of.get("default") not in (None, [], {}, ""):
        return of["default"]
    if "const" in of:
        return of["const"]
    if "enum" in of:
        return of["enum"][0]
    if "$ref" in of:
        return _some_section(definitions[of["$ref"].rsplit("/", 1)[-1]], definitions)
    for part in (*of.get("anyOf", ()), *of.get("oneOf", ())):
        return _some_value(key, part, definitions)
    kind = of.get("type")
    if kind == "array":
        inner = of.get("prefixItems", [of.get("items", {})])
        return [_some_value(key, item, definitions) for item in inner]
    if kind == "object":
        values = of.get("additionalProperties")
        return {"name": _some_value(key, values, definitions)} if isinstance(values, dict) else {}
    numbers = {"integer": 1, "number": 1.0}
    return {"boolean": True, "null": None, "string": key, **numbers}.get(str(kind), key)


def _some_section(
    section: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        key: _some_value(key, section["properties"][key], definitions)
        for key in section.get("required", list(section.get("properties", {}))[:1])
    }


def _yaml(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
