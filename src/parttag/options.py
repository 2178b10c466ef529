"""The base of every typed option, and the sentences that refuse a wrong one.

Each part of parttag declares its options beside its code (a model beside the network, a schedule
beside the schedule); ``config.py`` composes them into the configuration of a run.
"""

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from parttag.errors import InputError
from parttag.printable import printable

REMOTE_PROTOCOLS = ("https", "http", "root")
"""Where files may be read from, besides this machine."""

_TEXTS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema(_TEXTS_SCHEMA),
]
"""One text or a list of them."""


_LONGEST_NAME = 200


def _checked_name(name: str) -> str:
    # What would come out of a file otherwise than it went in, or could not be written at all.
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise ValueError(f"a name must have 1 to {_LONGEST_NAME} characters, not {len(name)}")
    if printable(name) != name or "\n" in name:
        raise ValueError(
            f"the name {printable(name)!r} has control characters, or such as UTF-8 cannot hold; "
            "take them out"
        )
    return name


Name = Annotated[str, AfterValidator(_checked_name)]
"""Of a class, a label or a row: every file can hold it, and every terminal show it."""


def local_name(name: str | Path) -> str | Path:
    """Return the name of a file or directory as it is, or refuse that of another machine.

    Raises
    ------
    InputError
        If it is a URL, of whatever protocol.
    """
    if isinstance(name, str) and "://" in name:
        raise InputError(
            f"{name}: this must be a file or directory of this machine; only jets are read from "
            f"others ({', '.join(REMOTE_PROTOCOLS)})"
        )
    return name


def _is_local(name: str) -> str:
    try:
        return str(local_name(name))
    except InputError as error:
        raise ValueError(str(error)) from error


LocalName = Annotated[str, AfterValidator(_is_local)]
"""The name of a file or directory of this machine."""


MAPPING = "(mapping)"
"""The tag of the member of a discriminated union that is a mapping of names of the user's."""


class Options(BaseModel):
    """Typed options with ranges; the string under a field documents it in the JSON schema."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Heads(Options):
    """Options with a field ``num_heads``: attention heads that share a width evenly.

    Those that derive from it declare both fields, with defaults and documentation of their own.
    """

    shared_by_heads: ClassVar[str] = "width"
    """The field with the width; of several widths, the last is shared."""

    if TYPE_CHECKING:  # as a field it would stand before all others in what is printed
        num_heads: int

    @model_validator(mode="after")
    def _width_splits_into_heads(self) -> "Heads":
        name, width = self.shared_by_heads, getattr(self, self.shared_by_heads)
        if isinstance(width, tuple):
            name, width = f"the last of {name}", width[-1]
        if width % self.num_heads:
            raise ValueError(f"{name}, {width}, is not a multiple of num_heads, {self.num_heads}")
        return self


def check_name(kind: str, name: str, owner: type, base: type[Options]) -> None:
    """Check that the options of what is registered have its name, and no other, in ``name``.

    Parameters
    ----------
    kind
        What is registered, for messages: ``"network"``.
    name
        What configurations call it.
    owner
        Its class, which has an attribute ``options_class``.
    base
        What its options derive from.

    Raises
    ------
    InputError
        If it has no such options, or their name is not fixed to this one.
    """
    options = getattr(owner, "options_class", None)
    if not (isinstance(options, type) and issubclass(options, base)):
        raise InputError(
            f"the {kind} {name} has no options; give {owner.__name__} an options_class that "
            f"derives from {base.__name__}"
        )
    field = options.model_fields.get("name")
    if field is None or get_args(field.annotation) != (name,) or field.default != name:
        raise InputError(
            f"the {kind} {name} has options without its name; give {options.__name__} the line "
            f'name: Literal["{name}"] = "{name}"'
        )


AnyOptions = TypeVar("AnyOptions", bound=Options)


def read_options(kind: type[AnyOptions], content: Mapping[str, Any]) -> AnyOptions:
    """Return the options that nested mappings give.

    Raises
    ------
    InputError
        If a key is unknown (the nearest known one is named), missing, of the wrong type or out of
        its range.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        # A misspelt key is also a missing one: the misspelling is what helps.
        details = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
        raise InputError(_sentence(kind, details)) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return which of the known names is most like one that is not known."""

    def likeness(other: str) -> float:
        return SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return max(known, key=likeness)


# What a value must be, by the first word of pydantic's name for the error.
_WANTED = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "string": "must be a text",
    "tuple": "must be a list",
    "dict": "must be a section of keys and values",
    "model": "must be a section of keys and values",
}


def _sentence(kind: type[Options], error: ErrorDetails) -> str:
    keys, field = _walk(kind, error["loc"])
    path, context = ".".join(printable(key[:_LONGEST_NAME]) for key in keys), error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(kind, path, error["loc"])
        case "missing":
            return f"{path}: a value is missing; it must be given"
        case "union_tag_not_found":
            return f"{path}.name is missing; it must be one of {_names(field)}"
        case "union_tag_invalid":
            return f"{path}.name is {context['tag']!r}, but must be one of {_names(field)}"
        case "literal_error":
            wanted = f"must be {context['expected']}"
        case "value_error":
            return f"{path}: {context['error']}" if path else str(context["error"])
        case "too_short":
            wanted = f"must have {context['min_length']} or more entries"
        case range_error if range_error.startswith(("greater_than", "less_than")):
            wanted = f"must be {_allowed_range(field)}"
        case other:
            wanted = _WANTED.get(other.split("_")[0], error["msg"])
    return f"{path} is {reprlib.repr(error['input'])}, but {wanted}"


def _unknown_key(kind: type[Options], path: str, loc: tuple[int | str, ...]) -> str:
    section, _, leaf = path.rpartition(".")
    known = list(dict.fromkeys(_paths(kind)))
    if path in known:  # of another member of the union, which loc names before the key
        return f"{path}: {section}.name {loc[-2]} has no such key; leave it out"

    def likeness(other: str) -> float:
        # A key of the same section is likelier to be meant than one elsewhere of a like name.
        other_section, _, other_leaf = other.rpartition(".")
        alike = SequenceMatcher(None, leaf.lower(), other_leaf.lower()).ratio()
        return alike + 0.5 * (section == other_section)

    return f"{path}: there is no such key; the nearest known one is {max(known, key=likeness)}"


def _walk(kind: type[Options], loc: tuple[int | str, ...]) -> tuple[list[str], FieldInfo | None]:
    """Return the keys of a place in the options as YAML has them, and the innermost field."""
    kinds: list[type[Options]] = [kind]
    keys: list[str] = []
    field = None
    after_tag = False
    for part in loc:
        is_key, after_tag = after_tag, False
        tagged = [k for k in kinds if len(kinds) > 1 and _name(k) == part]
        if isinstance(part, str) and part.startswith("("):
            after_tag = part == MAPPING  # whose keys are YAML's
            continue  # the tag of a discriminated union, which YAML does not have
        if tagged:  # pydantic names the member of a union, which YAML does not
            kinds = tagged
        elif any(part in k.model_fields for k in kinds):
            field = next(k.model_fields[str(part)] for k in kinds if part in k.model_fields)
            kinds = list(_kinds(field.annotation))
            keys.append(str(part))
        elif isinstance(part, int) or field is None or kinds or is_key or _is_mapping(field):
            keys.append(str(part))
    return keys, field


def _kinds(annotation: Any) -> Iterator[type[Options]]:
    """Yield the options that a field can hold."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def _paths(kind: type[Options], prefix: str = "") -> Iterator[str]:
    """Yield the full path of every key that can be given, those of all members of a union."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for inner in _kinds(field.annotation):
            yield from _paths(inner, f"{prefix}{name}.")


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _name(kind: type[Options]) -> str | None:
    return kind.model_fields["name"].default if "name" in kind.model_fields else None


def _names(field: FieldInfo | None) -> str:
    return ", ".join(str(_name(k)) for k in _kinds(field.annotation if field else None))


def _allowed_range(field: FieldInfo | None) -> str:
    words = []
    for constraint in _constraints(field):
        match constraint:
            case Gt(gt=bound):
                words.append(f"greater than {bound:g}")
            case Ge(ge=bound):
                words.append(f"at least {bound:g}")
            case Lt(lt=bound):
                words.append(f"less than {bound:g}")
            case Le(le=bound):
                words.append(f"at most {bound:g}")
    return " and ".join(dict.fromkeys(words))


def _constraints(annotation: Any) -> Iterator[Any]:
    """Yield everything that annotates a field or a part of it, from the outside in."""
    if isinstance(annotation, FieldInfo):
        yield from annotation.metadata
        yield from _constraints(annotation.annotation)
    elif hasattr(annotation, "__metadata__"):
        for extra in annotation.__metadata__:
            yield extra
            yield from _constraints(extra)
    for argument in get_args(annotation):
        yield from _constraints(argument)
