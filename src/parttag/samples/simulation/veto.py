"""A veto that stops Pythia early in events that will have no jet in the wanted range of pT.

Most of an event's time goes into soft showers, multiparton interactions and hadrons. By the time
the evolution has come down to ``SCALE``, the pT of the leading jet is known well enough to give up
events that are far off.
"""

from __future__ import annotations

from typing import Any

SCALE = 30.0
"""pT in GeV down to which an event evolves before it is looked at."""

_RESONANCE_DECAY = 5  # where Pythia calls: the shower of a decay, after the event was looked at
_ANTI_KT = -1
_MAX_ETA = 5.0


def leading_jet_veto(radius: float, min_pt: float, max_pt: float) -> Any:
    """Return Pythia's user hook that vetoes events by the pT (GeV) of their leading anti-kT jet.

    Particles that decay, tops too, count as one particle of the jet.
    """
    import pythia8mc

    class LeadingJetVeto(pythia8mc.UserHooks):  # type: ignore[misc]  # pythia8mc has no types
        """Its methods have Pythia's names; Pythia calls them for each event."""

        def __init__(self) -> None:
            super().__init__()
            self._jets = pythia8mc.SlowJet(_ANTI_KT, radius, min_pt, _MAX_ETA, 1)

        def canVetoPT(self) -> bool:  # noqa: N802
            return True

        def scaleVetoPT(self) -> float:  # noqa: N802
            return SCALE

        def doVetoPT(self, where: int, event: Any) -> bool:  # noqa: N802
            if where == _RESONANCE_DECAY:
                return False
            self._jets.analyze(event)
            return not (self._jets.sizeJet() and self._jets.pT(0) < max_pt)

    return LeadingJetVeto()
