"""What a tagger goes by: gradients, attention and importance, as numbers, files and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import awkward as ak
import numpy as np
from jaxtyping import Float, Float32, Int64
from matplotlib.figure import Figure

from parttag import plotting as plots
from parttag.data.jet_files import JetFiles, Patterns
from parttag.errors import InputError, option
from parttag.evaluation.attributions import (
    Attributions,
    GivenInputs,
    Pool,
    class_attention,
    integrated_gradients,
)
from parttag.evaluation.importance import Importance, Importances, permutation_importance
from parttag.evaluation.scorer import Scorer
from parttag.evaluation.scores import Scores
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.packing import places
from parttag.metrics import log_odds
from parttag.metrics.estimate import json_number
from parttag.models.registry import MODELS
from parttag.plotting import PictureFormat
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run
from parttag.system.atomic_files import made_directory, new_files, refuse_existing
from parttag.system.row_files import Columns, score_rows
from parttag.training.distributed import DeviceName

NUMBERS, PARTICLES = "explanation.json", "particles.h5"
_PICTURES = ("importance", "places")
# Of the hardest particles, those whose places have numbers of their own.
_PLACES = 30
# Jets whose gradients are computed at a time, which takes some MB each.
_GRADIENT_JETS = 64
_MOST_ROWS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a tagger goes by, on some jets: numbers, files and pictures."""

    name: str
    """Of the run."""
    classes: tuple[str, ...]
    target: str | None
    """The class whose log-odds the gradients explain; ``None`` for the one of the highest score."""
    scores: Scores
    """Of the jets, and their classes."""
    lengths: Int64[np.ndarray, " jets"]
    """Particles of each jet that the network is given."""
    attributions: Attributions
    """Integrated gradients, particle by particle."""
    attention: Float32[np.ndarray, "_blocks particles"] | None
    """Of each block of class tokens; ``None`` for networks without them."""
    importances: Importances
    """Of the inputs, exchanged among particles."""
    steps: int
    """Of the paths of the gradients."""
    data: tuple[str, ...] = ()
    """Files of the jets; empty for jets in memory."""

    @property
    def share(self) -> dict[str, float]:
        """What part of the gradients is of each feature: of the sum of their sizes."""
        size = np.abs(self.attributions.values.astype(np.float64)).sum(axis=0)
        shares = size / max(size.sum(), np.finfo(float).tiny)
        return dict(zip(self.attributions.names, shares.tolist(), strict=True))

    @property
    def typical_gap(self) -> float:
        """How far the gradients of a jet are from adding up, root mean square."""
        return float(np.sqrt((self.attributions.gap.astype(np.float64) ** 2).mean()))

    @property
    def typical_odds(self) -> float:
        """The size of the log-odds that are explained, root mean square."""
        place = targets_of(self.scores, self.target, self.classes)
        odds = [log_odds(self.scores.logits, number) for number in range(len(self.classes))]
        own = np.stack(odds, axis=1)[np.arange(len(place)), place]
        return float(np.sqrt((own**2).mean()))

    @property
    def ranking(self) -> list[str]:
        """The features, from the one that costs most when it is exchanged."""
        known = self.importances.features
        return sorted(known, key=lambda name: known[name].rank, reverse=True)

    def by_place(self, values: Float[np.ndarray, " particles"]) -> Float[np.ndarray, " places"]:
        """Return the mean over jets of something of particles, by their place in pT."""
        place = places(self.lengths)
        number = min(_PLACES, int(self.lengths.max(initial=0)))
        near = place < number
        total = np.bincount(place[near], weights=values[near], minlength=number)
        return total / np.maximum(np.bincount(place[near], minlength=number), 1)

    @property
    def places(self) -> dict[str, Float[np.ndarray, " places"]]:
        """The size of the gradients, and the attention, by the place of particles in pT."""
        found = {"gradients": self.by_place(np.abs(self.attributions.of_particles))}
        for number, row in enumerate(() if self.attention is None else self.attention):
            found[f"attention of class block {number + 1}"] = self.by_place(row)
        return found

    def particles(self) -> Columns:
        """Return one row a jet: its scores, and for each particle, in order of falling pT, numbers.

        ``gradient`` is what all of a particle's inputs add to the log-odds, ``gradient_FEATURE``
        what one of them does, and ``attention`` is the mean of the class blocks.
        """
        columns = self.scores.columns()
        per_particle = {
            "gradient": self.attributions.of_particles,
            **{
                f"gradient_{name}": self.attributions.values[:, column]
                for column, name in enumerate(self.attributions.names)
            },
        }
        if self.attention is not None:
            per_particle["attention"] = self.attention.mean(axis=0)
        jagged = {name: ak.unflatten(v, self.lengths) for name, v in per_particle.items()}
        return {**columns, "gap": self.attributions.gap, **jagged}

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``explanation.json``."""

        def listed(found: Mapping[str, Importance]) -> dict[str, Any]:
            return {name: one.to_json() for name, one in found.items()}

        momenta = self.importances.momenta
        return {
            "classes": list(self.classes),
            "target": self.target,
            "num_jets": len(self.scores),
            "steps": self.steps,
            "data": list(self.data),
            "gap": json_number(self.typical_gap),
            "gradient_share": {name: json_number(part) for name, part in self.share.items()},
            "importance": {
                "features": listed(self.importances.features),
                "kinds": listed(self.importances.kinds),
                "jet_features": listed(self.importances.jet_features),
                "four_momenta": None if momenta is None else momenta.to_json(),
            },
            "places": {name: values.tolist() for name, values in self.places.items()},
        }

    def headers(self) -> list[str]:
        """Return what the columns of the table are."""
        return ["input", "loss rises by", "accuracy falls by", "scores change by", "gradients"]

    def lines(self) -> list[list[str]]:
        """Return the table: the inputs, from the most important on."""
        found, shares = self.importances, self.share
        rows = [(name, found.features[name], shares.get(name)) for name in self.ranking]
        rows += [(f"kind {name}", one, None) for name, one in found.kinds.items()]
        rows += [(name, one, None) for name, one in found.jet_features.items()]
        if found.momenta is not None:
            alone = None if found.features else 1.0
            rows.append(("four-momenta", found.momenta, alone))
        return [
            [
                name,
                *map(_cell, (one.loss_rise, one.accuracy_fall, one.score_change)),
                "–" if part is None else f"{100 * part:.1f} %",
            ]
            for name, one, part in rows
        ]

    def sentences(self) -> list[str]:
        """Return what the terminal says below the table."""
        of = "the class of the highest score" if self.target is None else self.target
        found = [
            f"{len(self.scores):,} jets; gradients of the log-odds of {of}, in {self.steps} steps, "
            f"to ± {self.typical_gap:.2g} of {self.typical_odds:.2g}"
        ]
        if self.attention is None:
            found.append("no attention: the network has no class tokens")
        if not (self.scores.labels >= 0).any():
            found.append("the jets have no classes: only changes of scores are known")
        return found

    def __repr__(self) -> str:
        """Return the table as text, the most important inputs only."""
        rows = [self.headers(), *self.lines()[:_MOST_ROWS]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self.sentences()])

    def figures(self) -> dict[str, Figure]:
        """Return the pictures that ``save`` writes, by name."""
        drawn: dict[str, Callable[[], Figure]] = {
            "importance": lambda: plots.importance_figure(
                {name: one.loss_rise for name, one in self._drawn().items()}
                if (self.scores.labels >= 0).any()
                else {name: one.score_change for name, one in self._drawn().items()},
                self.share,
                rises=bool((self.scores.labels >= 0).any()),
            ),
            "places": lambda: plots.places_figure(self.places),
        }
        return {name: drawn[name]() for name in _PICTURES}

    def _drawn(self) -> dict[str, Importance]:
        found = self.importances
        rows = {name: found.features[name] for name in self.ranking} | found.jet_features
        rows |= {f"kind {name}": one for name, one in found.kinds.items()}
        return rows | ({} if found.momenta is None else {"four-momenta": found.momenta})

    def save(
        self,
        directory: str | Path,
        formats: Sequence[str] = ("png",),
        *,
        overwrite: bool = False,
    ) -> None:
        """Write ``explanation.json``, ``particles.h5`` and the pictures, all of them or none.

        Raises
        ------
        InputError
            If a file exists and is not to be replaced, or cannot be written; nothing is left then.
        """
        directory = Path(directory)
        names = file_names([formats] if isinstance(formats, str) else formats)
        with (
            made_directory(directory),
            new_files([directory / name for name in names], overwrite=overwrite) as opened,
        ):
            files = dict(zip(names, opened, strict=True))
            for name, figure in self.figures().items():
                for form in formats:
                    plots.save_figure(figure, files[f"{name}.{form}"], cast(PictureFormat, form))
            with score_rows(files[PARTICLES], directory / PARTICLES) as append:
                append(self.particles())
            text = json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False)
            files[NUMBERS].write(text.encode() + b"\n")


def file_names(formats: Sequence[str]) -> list[str]:
    """Return what ``Explanation.save`` writes.

    Raises
    ------
    InputError
        If there is no such format of pictures.
    """
    for form in formats:
        if form not in plots.FORMATS:
            raise InputError(
                f"formats: {form!r} is none of {', '.join(plots.FORMATS)}; choose of these"
            )
    return [PARTICLES, *(f"{name}.{form}" for name in _PICTURES for form in formats), NUMBERS]


def check_explanation_target(
    directory: Path, formats: Sequence[str], *, overwrite: bool = False
) -> None:
    """Refuse what ``Explanation.save`` would refuse, before it is computed for minutes.

    Raises
    ------
    InputError
        If a file is there and is not to be replaced, or a format is unknown.
    """
    names = file_names(formats)
    if not overwrite:
        refuse_existing(directory / name for name in names)


def explain_run(
    run: Run,
    data: Patterns | JetArrays,
    *,
    target: str | None = None,
    num_jets: int = 500,
    steps: int = 32,
    seed: int = 0,
    strict: bool = False,
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> Explanation:
    """Say what a trained tagger goes by.

    Parameters
    ----------
    data
        Files, globs, directories, stores or jets; their classes need not be known.
    target
        The class whose log-odds the gradients explain; by default, of each jet, that of the highest
        score.
    num_jets
        How many good jets inside the run's cuts are taken, at random.
    steps
        Of the paths of the gradients.
    seed
        Of the choice of jets, and of the exchanges.

    Raises
    ------
    InputError
        If the run gives no scores, there is no such class, no good jet, or the jets do not fit the
        network.
    """
    run.refuse_folds("an explanation")
    if target is not None and target not in run.classes:
        raise InputError(
            f"{option('target', target)} is none of {', '.join(run.classes)}; name one of these"
        )
    for name, number in (("num_jets", num_jets), ("steps", steps)):
        if number < 1:
            raise InputError(f"{option(name, str(number))}: give 1 or more")
    scorer = Scorer.of_run(run, labels_required=False, strict=strict, device=device)
    jets = _chosen_jets(run, data, num_jets, seed, strict, progress)
    scores = scorer.score(jets)
    good = np.flatnonzero(scores.valid)
    if not len(good):
        raise InputError("there is no good jet inside of data.cuts to explain; give other files")
    scores = scores.take(good)
    batch = make_batch(jets.take(good), scores.labels, max_particles=run.model.max_particles)
    network = MODELS[run.config.model.name].network
    return Explanation(
        name=run.directory.name,
        classes=run.classes,
        target=target,
        scores=scores,
        lengths=batch.lengths,
        attributions=_all_gradients(run, batch, scores, target, steps, seed, progress),
        attention=_all_attention(run, batch),
        importances=permutation_importance(
            run.model,
            batch,
            needs_momenta=network.needs_momenta(run.config.model),
            seed=seed,
            progress=progress,
        ),
        steps=steps,
        data=() if isinstance(data, JetArrays) else _names(data),
    )


def _names(data: Patterns) -> tuple[str, ...]:
    return (str(data),) if isinstance(data, str | Path) else tuple(map(str, data))


def targets_of(
    scores: Scores, target: str | None, classes: Sequence[str]
) -> Int64[np.ndarray, " jets"]:
    """Return the class of each jet that is explained."""
    if target is None:
        highest: Int64[np.ndarray, " jets"] = scores.logits.argmax(axis=1).astype(np.int64)
        return highest
    return np.full(len(scores), list(classes).index(target), dtype=np.int64)


def _all_gradients(
    run: Run,
    batch: JetBatch,
    scores: Scores,
    target: str | None,
    steps: int,
    seed: int,
    progress: Progress,
) -> Attributions:
    classes = targets_of(scores, target, run.classes)
    starts = range(0, len(batch), _GRADIENT_JETS)
    pool = Pool.of(GivenInputs.of(run.model, batch))
    parts = [
        integrated_gradients(
            run.model,
            batch.span(first, min(first + _GRADIENT_JETS, len(batch))),
            classes[first : first + _GRADIENT_JETS],
            steps=steps,
            pool=pool,
            seed=seed + first,
        )
        for first in progress(starts, total=len(starts), description="gradients")
    ]
    return Attributions(
        parts[0].names,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.gap for part in parts]),
    )


def _all_attention(run: Run, batch: JetBatch) -> Float32[np.ndarray, "_blocks particles"] | None:
    parts = [
        class_attention(run.model, batch.span(first, min(first + _GRADIENT_JETS, len(batch))))
        for first in range(0, len(batch), _GRADIENT_JETS)
    ]
    known = [part for part in parts if part is not None]
    return np.concatenate(known, axis=1) if known else None


def _chosen_jets(
    run: Run,
    data: Patterns | JetArrays,
    num_jets: int,
    seed: int,
    strict: bool,
    progress: Progress,
) -> JetArrays:
    """Return a random choice of jets, each as likely as any other, in their order."""
    generator = np.random.default_rng(seed)
    if isinstance(data, JetArrays):
        number = min(num_jets, len(data))
        return data.take(np.sort(generator.permutation(len(data))[:number]))
    own = run.config.data
    files = JetFiles(
        data,
        own.columns,
        own.cuts_of_test,
        strict,
        truth_optional=True,
        wanted=run.config.wanted_columns,
    )
    kept: list[JetArrays] = []
    drawn: list[Float[np.ndarray, " jets"]] = []
    bound = 1.0
    for jets in files.chunks(progress):
        numbers = generator.random(len(jets))
        rows = np.flatnonzero(numbers < bound)
        kept.append(jets.take(rows))
        drawn.append(numbers[rows])
        everything = np.concatenate(drawn)
        if len(everything) > num_jets:
            chosen = np.sort(np.argpartition(everything, num_jets - 1)[:num_jets])
            kept, drawn = [concatenate(kept).take(chosen)], [everything[chosen]]
            bound = float(drawn[0].max())
    if not kept:
        raise InputError("there is no good jet inside of data.cuts to explain; give other files")
    return concatenate(kept)


def _cell(estimate: Any) -> str:
    return "–" if np.isnan(estimate.value) else str(estimate)
