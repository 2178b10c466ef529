"""A reader of ``preprocess.json`` from docs/how_to/export.md alone: NumPy, and nothing of parttag.

Jets are lists of particles: a dictionary of columns, ``px, py, pz, energy`` in GeV and what else
the files have, and one of the jet's own quantities.
"""

import numpy as np

EXPRESSIONS = {
    "log_pt": lambda p, j: np.log(pt(p)),
    "log_energy": lambda p, j: np.log(p["energy"]),
    "log_pt_rel": lambda p, j: np.log(pt(p)) - np.log(j["pt"]),
    "log_energy_rel": lambda p, j: np.log(p["energy"]) - np.log(j["energy"]),
    "delta_eta": lambda p, j: (eta(p) - j["eta"]) * (1 if j["eta"] >= 0 else -1),
    "delta_phi": lambda p, j: (phi(p) - j["phi"] + np.pi) % (2 * np.pi) - np.pi,
    "delta_r": lambda p, j: np.hypot(
        eta(p) - j["eta"], (phi(p) - j["phi"] + np.pi) % (2 * np.pi) - np.pi
    ),
    "tanh_d0": lambda p, j: np.tanh(zero_if_none(p["d0"])),
    "tanh_dz": lambda p, j: np.tanh(zero_if_none(p["dz"])),
    "mask": lambda p, j: np.ones_like(p["px"]),
}
OF_JETS = {
    "log_pt": lambda j: np.log(j["pt"]),
    "log_energy": lambda j: np.log(j["energy"]),
    "log_mass": lambda j: (
        0.5 * np.log(max(j["energy"] ** 2 - (j["pt"] * np.cosh(j["eta"])) ** 2, 0))
    ),
    "eta": lambda j: j["eta"],
    "abs_eta": lambda j: abs(j["eta"]),
}
TRANSFORMS = {
    "none": lambda x: x,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "abs": np.abs,
    "asinh": np.arcsinh,
}


def pt(p):
    return np.hypot(p["px"], p["py"])


def eta(p):
    return np.arcsinh(p["pz"] / pt(p))


def phi(p):
    return np.arctan2(p["py"], p["px"])


def zero_if_none(values):
    return np.where(np.isfinite(values), values, 0)


def value(source, particles, jet):
    """Return what a variable is made of, before it is standardized."""
    feature, column = source["feature"], source["column"]
    if feature in EXPRESSIONS:
        return EXPRESSIONS[feature](particles, jet)
    transform = TRANSFORMS[source["transform"]]
    if source.get("of") == "jet":
        one = OF_JETS[column](jet) if column in OF_JETS else jet[column]
        return transform(np.full(1, one))
    if column in EXPRESSIONS:
        return transform(EXPRESSIONS[column](particles, jet))
    found = (
        particles[column] if column in particles else np.full(1, jet[column.removeprefix("jet_")])
    )
    return transform(zero_if_none(found) if "missing" in source else found)


def standardize(values, info, source):
    values = np.asarray(values, dtype=np.float64)
    keeps = ~np.isnan(values) if source.get("infinite") == "clip" else np.isfinite(values)
    values = np.where(keeps, values, info["replace_inf_value"])
    values = (values - info["median"]) * info["norm_factor"]
    return np.clip(values, info["lower_bound"], info["upper_bound"])


def make_inputs(preprocess, jets):
    """Return what ONNX Runtime is to be fed with for a batch of (particles, jet)."""
    feeds = {}
    for name in preprocess["input_names"]:
        section, sources = preprocess[name], preprocess["parttag"]["variables"][name]
        per_jet = name.startswith("jet_")
        longest = 1 if per_jet else max(len(p["px"]) for p, _ in jets)
        slots = min(max(longest, section["min_length"]), section["max_length"])
        feed = np.zeros((len(jets), len(section["var_names"]), slots), dtype=np.float32)
        for channel, variable in enumerate(section["var_names"]):
            info = section["var_infos"][variable]
            feed[:, channel] = info["pad"]
            for row, (particles, jet) in enumerate(jets):
                with np.errstate(all="ignore"):
                    source = sources[variable]
                    values = standardize(value(source, particles, jet), info, source)
                values = values[:slots]
                feed[row, channel, : len(values)] = values
        feeds[name] = feed
    return feeds
