"""The base of conversions of weaver's networks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import ValidationError
from torch import Tensor

from parttag.errors import InputError
from parttag.models import Tagger
from parttag.options import Options

AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True)
class Sizes(Generic[AnyOptions]):
    """What the shapes of weights tell; what they do not tell is the options' default."""

    options: AnyOptions
    num_features: int
    num_classes: int


class Conversion(ABC, Generic[AnyOptions]):
    """One kind of network: how weaver names and shapes its weights."""

    network: ClassVar[type[Tagger]]
    title: ClassVar[str]
    """What physicists call it."""
    signature: ClassVar[str]
    """A key that no other kind of network has."""

    @abstractmethod
    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[AnyOptions]:
        """Return options, number of features and number of classes from the shapes of weights.

        Raises
        ------
        InputError
            If a key that tells a size is missing, or the sizes fit no network of this kind.
        """

    @abstractmethod
    def keys(self, options: AnyOptions, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Return weaver's name of every module, or parameter, of ours that holds weights."""

    @abstractmethod
    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in weaver's file of what has the given name and shape here."""

    def finish(
        self, weights: dict[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], str]:
        """Return the translated weights as our network wants them, and what wrote the file."""
        del state
        return weights, "weaver-core"

    def options(self, path: Path, **sizes: Any) -> AnyOptions:
        """Return the options with these sizes.

        Raises
        ------
        InputError
            If they are out of range, or do not fit one another.
        """
        try:
            return cast(AnyOptions, self.network.options_class(**sizes))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise InputError(
                f"{path}: the shapes of its weights make no {self.title} ({where} {problem['msg']})"
            ) from error
