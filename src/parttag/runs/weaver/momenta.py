"""The four-momenta of each kind: of its vectors, or of what its features say of them.

weaver's networks know momenta only where a group ``…_vectors`` gives them, as px, py, pz and
energy. parttag makes features, axes and coordinates of them, so that every kind needs some. Where
there are no vectors, log pT, log E or mass, Δη and Δφ among the features or points do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from parttag.runs.weaver.formulas import Formulas, is_ones
from parttag.runs.weaver.kinds import Kind
from parttag.runs.weaver.remarks import Remarks
from parttag.runs.weaver.source import WeaverFile

JETCLASS_VECTORS = ("part_px", "part_py", "part_pz", "part_energy")

_END = r"(?:_nopuppi|_puppi)?$"
_NAMES = {
    "log_pt": rf"(?:^|_)(?:pt_log|log_?pt|logpt){_END}",
    "log_energy": rf"(?:^|_)(?:(?:e|energy)_log|log_?e|logenergy){_END}",
    "pt_rel": r"(?:^|_)(?:pt_?rel|relpt|rel_pt)$",
    "energy_rel": r"(?:^|_)(?:(?:e|energy)_?rel|rele|rel_e)$",
    "log_pt_rel": rf"(?:^|_)(?:(?:pt_?rel_log)|log_?pt_?rel){_END}",
    "log_energy_rel": rf"(?:^|_)(?:(?:e|energy)_?rel_log|log_?(?:e|energy)_?rel){_END}",
    "pt": r"(?:^|_)pt$",
    "eta": r"(?:^|_)eta$",
    "phi": r"(?:^|_)phi$",
    "energy": r"(?:^|_)(?:e|energy)$",
    "mass": r"(?:^|_)(?:m|mass)$",
    "delta_eta": r"(?:^|_)(?:eta_?rel|rel_?eta|d(?:elta)?_?eta)$",
    "delta_phi": r"(?:^|_)(?:phi_?rel|rel_?phi|d(?:elta)?_?phi)$",
}
_JETS = ("jet", "fj", "fatjet", "fjet", "ak8", "ak4", "ak15", "Jet", "FatJet")


@dataclass
class Momenta:
    """What a section of ``columns.particles`` says, and the formulas that it makes ours.

    Parameters
    ----------
    section
        The keys of the section.
    forms
        By canonical form, the quantity of parttag's that it is.
    """

    section: dict[str, object]
    forms: dict[str, str] = field(default_factory=dict)


def jet_section(file: WeaverFile, formulas: Formulas, remarks: Remarks) -> dict[str, object]:
    """Return ``columns.jet``, of the branches that the file names for its jets; empty if none."""
    known = _named_anywhere(file)
    for prefix in _JETS:
        names = {part: f"{prefix}_{part}" for part in ("pt", "eta", "phi", "energy", "mass")}
        there = {part: name for part, name in names.items() if name in known}
        if "pt" not in there or "eta" not in there:
            continue
        if "phi" not in there:
            remarks.assumed(
                "jet", f"the files have {names['phi']} beside {names['pt']} and {names['eta']}"
            )
        section: dict[str, object] = {
            part: formulas.branch(names[part]) for part in ("pt", "eta", "phi")
        }
        if "energy" in there:
            return {**section, "energy": formulas.branch(names["energy"])}
        if "mass" in there:
            return {**section, "mass": formulas.branch(names["mass"])}
        remarks.note(
            "jet",
            "no branch of its energy or mass is named; it counts as massless, which only "
            "cuts and weights by mass, and energies relative to the jet's, would notice",
        )
        return {**section, "mass": 0}
    return {}


def _named_anywhere(file: WeaverFile) -> set[str]:
    """Return every name that occurs in the file, in lists and in formulas."""
    texts = [*file.names("observers"), *file.names("monitor_variables")]
    texts += file.new_variables.values()
    texts += [
        formula for key in ("selection", "test_time_selection") if (formula := file.formula(key))
    ]
    texts += [one.name for group in file.inputs for one in group.inputs]
    if file.weights is not None:
        texts += file.weights.variables
    return {name for text in texts for name in re.findall(r"[A-Za-z_]\w*", text)}


def momenta_of(
    kind: Kind,
    formulas: Formulas,
    jet: dict[str, object],
) -> Momenta | None:
    """Return where the momenta of a kind are; none if nothing says it."""
    vectors = kind.inputs("vectors")
    found = _of_vectors([one.name for one in vectors], formulas) if len(vectors) == 4 else None
    if found is None:
        found = _of_features(kind, jet, formulas)
    if found is None:
        return None
    _add_jet_forms(found, formulas, jet)
    add_mask(found, kind, formulas)
    return found


def add_mask(momenta: Momenta, kind: Kind, formulas: Formulas) -> None:
    """Say which slots are real, if not all that there are."""
    mask = kind.inputs("mask")
    if len(mask) == 1 and not is_ones(formulas, mask[0].name):
        momenta.section["mask"] = formulas.branch(mask[0].name)


def _of_vectors(names: list[str], formulas: Formulas) -> Momenta | None:
    """Return momenta of px, py, pz and energy, which is what weaver's networks take them for."""
    px, py, pz, energy = map(formulas.branch, names)
    section: dict[str, object] = {"px": px, "py": py, "pz": pz, "energy": energy}
    momenta = Momenta(section)
    pt = formulas.canonical(f"hypot({names[0]}, {names[1]})")
    _add_forms(momenta, pt, formulas.canonical(names[3]))
    return momenta


def _of_features(kind: Kind, jet: dict[str, object], formulas: Formulas) -> Momenta | None:
    """Return momenta of logarithms, ratios and differences among features and points."""
    coordinates = _Coordinates(_quantities(kind), formulas, has_jet=bool(jet))
    direction = (
        coordinates.take("pt", {"pt": "", "log_pt": "log", "pt_rel": "ratio"}),
        coordinates.take("eta", {"eta": "", "delta_eta": "difference"}),
        coordinates.take("phi", {"phi": "", "delta_phi": "difference"}),
    )
    if not all(direction):
        return None
    energies = {"energy": "", "log_energy": "log", "energy_rel": "ratio"}
    if not coordinates.take("energy", energies) and not coordinates.take("mass", {"mass": ""}):
        coordinates.section["mass"] = 0
    relative = coordinates.relative
    if "eta" in relative:
        relative["eta_sign"] = True
    if relative:
        coordinates.section["relative_to_jet"] = relative
    return Momenta(coordinates.section, coordinates.forms)


def _quantities(kind: Kind) -> dict[str, str]:
    """Return variables by what their names say that they are."""
    found: dict[str, str] = {}
    for one in (*kind.inputs("features"), *kind.inputs("points")):
        for quantity, pattern in _NAMES.items():
            if re.search(pattern, one.name, re.IGNORECASE):
                found.setdefault(quantity, one.name)
    points = kind.inputs("points")
    if len(points) == 2 and "delta_eta" not in found and "eta" not in found:
        found |= {"delta_eta": points[0].name, "delta_phi": points[1].name}
    return found


class _Coordinates:
    """A section of particles in the making."""

    def __init__(self, found: dict[str, str], formulas: Formulas, *, has_jet: bool) -> None:
        self._found, self._formulas, self._has_jet = found, formulas, has_jet
        self.section: dict[str, object] = {}
        self.relative: dict[str, object] = {}
        self.forms: dict[str, str] = {}

    def take(self, key: str, options: dict[str, str]) -> bool:
        """Say what a coordinate is, by the first quantity that there is, and how it is written."""
        for quantity, how in options.items():
            if quantity not in self._found or (how not in ("", "log") and not self._has_jet):
                continue
            name = self._found[quantity]
            self.section[key] = self._formulas.branch(name)
            if how:
                self.relative[key] = how
            if quantity in ("log_pt", "log_energy", "delta_eta", "delta_phi"):
                self.forms[self._formulas.canonical(name)] = quantity
            return True
        return False


def _add_forms(momenta: Momenta, pt: str, energy: str) -> None:
    forms = momenta.forms
    forms[f"log({pt})"] = "log_pt"
    forms[f"log({energy})"] = "log_energy"


def _add_jet_forms(momenta: Momenta, formulas: Formulas, jet: dict[str, object]) -> None:
    logs = {quantity: form for form, quantity in momenta.forms.items()}
    for quantity, of_jet in (("log_pt", jet.get("pt")), ("log_energy", jet.get("energy"))):
        form = logs.get(quantity, "")
        if isinstance(of_jet, str) and form.startswith("log("):
            whole = f"{form[4:-1]} / {of_jet}"
            momenta.forms[formulas.canonical(f"log({whole})")] = f"{quantity}_rel"


def is_jetclass(kinds: list[Kind], formulas: Formulas) -> bool:
    """Return whether the particles are in JetClass's branches, which parttag reads unasked."""
    if len(kinds) != 1:
        return False
    vectors = tuple(one.name for one in kinds[0].inputs("vectors"))
    if vectors != JETCLASS_VECTORS or any(map(formulas.is_new, vectors)):
        return False
    mask = kinds[0].inputs("mask")
    return not mask or is_ones(formulas, mask[0].name)


JETCLASS_FORMS = {
    "part_deta": "delta_eta",
    "part_dphi": "delta_phi",
    "hypot(part_deta, part_dphi)": "delta_r",
    "part_charge": "charge",
    "part_isChargedHadron": "is_charged_hadron",
    "part_isNeutralHadron": "is_neutral_hadron",
    "part_isPhoton": "is_photon",
    "part_isElectron": "is_electron",
    "part_isMuon": "is_muon",
    "tanh(part_d0val)": "tanh_d0",
    "part_d0err": "d0_error",
    "tanh(part_dzval)": "tanh_dz",
    "part_dzerr": "dz_error",
}
"""What columns of JetClass's branches are, as parttag reads them."""


def jetclass_momenta(formulas: Formulas) -> Momenta:
    """Return what features are of JetClass's branches."""
    momenta = Momenta({}, dict(JETCLASS_FORMS))
    _add_forms(momenta, "hypot(part_px, part_py)", "part_energy")
    _add_jet_forms(momenta, formulas, {"pt": "jet_pt", "energy": "jet_energy"})
    return momenta
