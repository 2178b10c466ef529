"""The tasks of objective ``tasks`` by name: what each is about, and what it counts for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, field_validator

from parttag.errors import InputError
from parttag.options import Name, Options, Texts, read_options
from parttag.training.objectives.classify import ClassificationOptions
from parttag.training.objectives.objective import ObjectiveOptions

CLASSIFY, ORIGIN, VERTEX = "classify", "origin", "vertex"
"""The tasks that have names of their own; all others are targets."""


SIMULATED_ORIGINS: dict[str, tuple[int, ...]] = {
    "shower": (0,),
    "b": (1,),
    "c": (2,),
    "tau": (3,),
    "W": (4,),
    "Z": (5,),
    "H": (6,),
    "top": (7,),
    "underlying": (8,),
}
"""What ``part_origin`` means in files of ``parttag simulate``."""


class TargetTask(Options):
    """A target, of the section ``targets``, by its name there."""

    weight: PositiveFloat = 1.0
    """Of its loss among those of the others."""


class ClassifyTask(ClassificationOptions):
    """The classes of the jets, ``data.classes``."""

    weight: PositiveFloat = 1.0


def _numbers(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


class OfParticles(Options):
    """What tasks about particles have in common."""

    kinds: Texts = ()
    """Of several kinds of particles, those that it is about; without any, all."""


class OriginTask(OfParticles):
    """The class of each particle, by a column of the particles that holds whole numbers."""

    weight: PositiveFloat = 1.0
    column: Name = "part_origin"
    """A column of ``data.columns.particles.extra``, or a branch of the files."""
    classes: dict[
        Name, Annotated[tuple[int, ...], BeforeValidator(_numbers), Field(min_length=1)]
    ] = Field(default=SIMULATED_ORIGINS, min_length=2)
    """Name of each class, and the numbers of the column that mean it. Particles of other numbers
    do not count. By default what simulated jets say."""

    @field_validator("classes")
    @classmethod
    def _each_number_once(cls, classes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        numbers = [number for own in classes.values() for number in own]
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        if twice:
            raise ValueError(f"{twice[0]} means two classes; give each number once")
        return classes


class VertexTask(OfParticles):
    """Whether two particles of a jet come from one vertex."""

    weight: PositiveFloat = 1.0
    column: Texts = Field(default=("part_vertex",), min_length=1)
    """A column of the particles with the number of its vertex: equal numbers in a jet are one
    vertex, negative ones are none that is known. Or several, the coordinates of the vertex."""
    within: float = Field(default=0.0, ge=0)
    """Of coordinates: how far two may be apart and mean one vertex, in their unit."""


Task = ClassifyTask | OriginTask | VertexTask | TargetTask

_KINDS: dict[str, type[Task]] = {
    CLASSIFY: ClassifyTask,
    ORIGIN: OriginTask,
    VERTEX: VertexTask,
}


def _read_tasks(value: Any) -> Any:
    """Read each task as what its name says."""
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, content in value.items():
        if isinstance(content, Options):
            found[name] = content
            continue
        if content is not None and not isinstance(content, Mapping):
            raise InputError(
                f"objective.tasks.{name} is {content!r:.60}, but must be a section such as "
                "{weight: 1}"
            )
        kind = _KINDS.get(str(name), TargetTask)
        try:
            found[name] = read_options(kind, content or {})
        except InputError as error:
            raise InputError(f"objective.tasks.{name}.{error}") from error
    return found


class TasksOptions(ObjectiveOptions):
    """Several questions to one network: the sum of their losses, each with a weight."""

    name: Literal["tasks"] = "tasks"
    tasks: Annotated[dict[Name, Task], BeforeValidator(_read_tasks)] = Field(min_length=1)
    """classify: the classes of the jets; a name of ``targets``: that target; origin: classes of
    particles; vertex: which particles share a vertex. Each with its ``weight``."""
    weights: Literal["fixed", "uncertainty"] = "fixed"
    """fixed: as each task says. uncertainty: multiplied by 1/σ² besides, where the network learns
    the ln σ² of each task, which is added to the loss (arXiv:1705.07115); not of targets with
    ``loss: gaussian``, which learn a width of their own."""

    @property
    def classify(self) -> ClassifyTask | None:
        """The classification, if it is among the tasks."""
        task = self.tasks.get(CLASSIFY)
        return task if isinstance(task, ClassifyTask) else None

    @property
    def origin(self) -> OriginTask | None:
        """The classes of the particles, if they are among the tasks."""
        task = self.tasks.get(ORIGIN)
        return task if isinstance(task, OriginTask) else None

    @property
    def vertex(self) -> VertexTask | None:
        """The vertices, if they are among the tasks."""
        task = self.tasks.get(VERTEX)
        return task if isinstance(task, VertexTask) else None

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets among the tasks."""
        return tuple(name for name in self.tasks if name not in _KINDS)

    @property
    def particle_columns(self) -> dict[str, tuple[str, ...]]:
        """The columns of the particles that hold the truth, by task."""
        found: dict[str, tuple[str, ...]] = {}
        if self.origin is not None:
            found[ORIGIN] = (self.origin.column,)
        if self.vertex is not None:
            found[VERTEX] = self.vertex.column
        return found
