"""The base of conversions of the networks of weaver-core and of authors' own programs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import ValidationError
from torch import Tensor

from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature
from parttag.models import Tagger
from parttag.models.tagger import ModelOptions

AnyOptions = TypeVar("AnyOptions", bound=ModelOptions)

Labels = dict[str, tuple[str, ...]]
"""Classes by name, each with the labels of the data that make it."""


@dataclass(frozen=True)
class Sizes(Generic[AnyOptions]):
    """What the shapes of weights tell; what they do not tell is the options' default."""

    options: AnyOptions
    num_features: int | None
    """None of a network that makes its own inputs from four-momenta."""
    num_classes: int
    variant: str = ""
    """What else the weights tell of the network, to be said to the user."""
    features: tuple[ColumnFeature, ...] = ()
    """The features that it was trained with, where the weights tell."""
    classes: Labels = field(default_factory=dict)
    """Its classes, where the weights tell, each with the labels that make it."""


class Conversion(ABC, Generic[AnyOptions]):
    """One kind of network: how its program names and shapes its weights."""

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

    def completed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state with what the program leaves out because it is zero."""
        return state

    @abstractmethod
    def keys(self, options: AnyOptions, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Return the program's name of every module, or parameter, of ours that holds weights."""

    @abstractmethod
    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in the program's file of what has the given name and shape here."""

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
