"""``columns.particles.of_jet``: which of an event's particles are a jet's."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from parttag.options import Options

_FORMS = {
    "jet": ("particle",),
    "particles": (),
    "begin": ("end", "count", "through"),
    "references": ("missing",),
    "links": ("key",),
    "within": (),
    "cluster": (),
}
"""The key that names each form, and those that go with it."""


class ClusterOptions(Options):
    """Jets that FastJet makes of an event's particles, with the E-scheme."""

    algorithm: Literal["antikt", "kt", "cambridge"] = "antikt"
    radius: PositiveFloat
    """R of the algorithm."""
    min_pt: Annotated[float, Field(ge=0)]
    """Of the jets, in GeV."""
    max_abs_eta: PositiveFloat | None = None
    """Of the jets' axes; without it, all are kept."""


class OfJet(Options):
    """Which particles of an event are a jet's; numbers of jets and particles begin at 0.

    One of seven forms: ``jet`` and ``particle``; ``particles``; ``begin`` with ``end`` or
    ``count``; ``references``; ``links``; ``within``; ``cluster``.
    """

    jet: str | None = None
    """Of a table of pairs, the number of the jet in its event (CMS PFNano, NanoAOD)."""
    particle: str | None = None
    """Of a table of pairs, the number of the particle in its event."""
    particles: str | None = None
    """A list of numbers of particles for each jet."""
    begin: str | None = None
    """Where the range of a jet begins, in ``through`` or in the particles (EDM4hep, MOD)."""
    end: str | None = None
    """One after the last of the range."""
    count: str | None = None
    """How long the range is, in place of ``end``."""
    through: str | None = None
    """The list of numbers of particles that the ranges are of; without it, the particles."""
    references: str | None = None
    """ROOT references (``TRefArray``) to the particles of all sections (Delphes)."""
    missing: Literal["refuse", "drop"] = "refuse"
    """What becomes of a file with references to what it does not hold: it is refused, or the
    particles are left out and counted in the log."""
    links: str | None = None
    """ATLAS ElementLinks (``persKey``, ``persIndex``) to the particles."""
    key: int | None = None
    """The ``persKey`` of the particles, needed where the links are to several containers."""
    within: PositiveFloat | None = None
    """All particles closer than this to the jet's axis, in ΔR: an approximation."""
    cluster: ClusterOptions | None = None
    """The jets are made of the particles; needs FastJet, of the extra ``cluster``."""

    @model_validator(mode="after")
    def _is_one_form(self) -> "OfJet":
        given = self.model_fields_set
        forms = [form for form in _FORMS if form in given]
        if len(forms) != 1:
            raise ValueError(
                f"give one of {', '.join(_FORMS)}; there {'is none' if not forms else 'are '}"
                f"{' and '.join(forms)}"
            )
        (form,) = forms
        others = given - {form, *_FORMS[form]}
        if others:
            raise ValueError(f"{min(others)} does not go with {form}; leave one of them out")
        if form == "jet" and self.particle is None:
            raise ValueError("jet and particle belong together")
        if form == "begin" and (self.end is None) == (self.count is None):
            raise ValueError("give one of end and count with begin")
        return self

    @property
    def branches(self) -> tuple[tuple[str, str], ...]:
        """Key and branch of what it names."""
        names = ("jet", "particle", "particles", "begin", "end", "count", "through", "references")
        values = {name: getattr(self, name) for name in (*names, "links")}
        return tuple((name, value) for name, value in values.items() if value is not None)

    @property
    def one_a_jet(self) -> str | None:
        """A branch that holds one entry a jet of an event, if the form has such."""
        return self.particles or self.begin or self.references or self.links
