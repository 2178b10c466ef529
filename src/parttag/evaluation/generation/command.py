"""``parttag generate``: jets from a run of next-particle prediction, to a file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import parttag
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset, open_dataset
from parttag.data.writers.jetclass import JetClassTable, check_format, write_open_file
from parttag.errors import InputError, option
from parttag.evaluation.generation.comparison import (
    Comparison,
    Variables,
    compare,
    variables_of,
)
from parttag.evaluation.generation.sampling import Sampling, num_batches, sample_jets
from parttag.inspection.inspect import picture_paths
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.clustered import Jets
from parttag.jets.variables import Variable
from parttag.models.omnijet import OmniJet
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run, weights_sum
from parttag.system.atomic_files import OutputFile, made_directory, new_files, refuse_existing
from parttag.training.distributed import DeviceName, move_to

# More jets of a reference would not make its means and distances noticeably better.
_MOST_REFERENCE_JETS = 100_000


@dataclass(frozen=True)
class GenerateReport:
    """How many jets were generated and how fast; ``num_cut`` have as many particles as can be."""

    num_jets: int
    num_cut: int
    seconds: float
    comparison: Comparison | None
    written: tuple[Path, ...]

    @property
    def jets_per_second(self) -> float:
        """Jets generated in a second; reading, comparing, drawing and writing do not count."""
        return self.num_jets / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return it as the JSON file beside the jets holds it."""
        return {
            "num_jets": self.num_jets,
            "num_cut": self.num_cut,
            "seconds": self.seconds,
            "jets_per_second": self.jets_per_second,
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }


def generate(
    run: Run,
    num_jets: int,
    out: Path,
    sampling: Sampling,
    *,
    against: Sequence[str] = (),
    plots: Path | None = None,
    overwrite: bool = False,
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> GenerateReport:
    """Write new jets to ``out``, and what is known of them to a JSON file of the same name.

    Parameters
    ----------
    out
        A ROOT or parquet file in JetClass's layout.
    against
        Files of jets like those of the training: then the JSON file also says how alike the two
        are. The run's cuts and columns apply to them.
    plots
        Directory for pictures of the comparison.

    Raises
    ------
    InputError
        If the run is not one of next-particle prediction, a file cannot be read, or something that
        would be written is there already or cannot be written; nothing is left then.
    """
    network = _decoder(run)
    check_format(out)
    if plots is not None and not against:
        raise InputError(
            f"{option('plots', '')} draws a comparison: give {option('against', '')} too"
        )
    pictures = picture_paths(plots) if plots is not None else {}
    paths = [out, out.with_suffix(".json"), *pictures.values()]
    if not overwrite:
        refuse_existing(paths)
    reference = _reference(run, against, progress) if against else None
    move_to(network, device)
    with ExitStack() as stack:
        if plots is not None:
            stack.enter_context(made_directory(plots))
        files = stack.enter_context(new_files(paths, overwrite=overwrite))
        start = time.perf_counter()
        jets = _generate(network, num_jets, sampling, progress)
        seconds = time.perf_counter() - start
        num_cut = int((jets.lengths == network.max_particles).sum())
        comparison = None
        if reference is not None:
            found = variables_of(jets)
            comparison, expected = compare(network, found, reference, sampling.seed)
            _draw(dict(zip(pictures, files[2:], strict=True)), found, expected)
        report = GenerateReport(num_jets, num_cut, seconds, comparison, tuple(paths))
        provenance = _provenance(run, network, sampling)
        write_open_file(files[0], out, _table(jets), provenance)
        files[1].write(json.dumps({**provenance, **report.to_json()}, indent=2).encode())
    return report


def _decoder(run: Run) -> OmniJet:
    run.refuse_folds("a generation")
    if run.config.objective.name != "next_particle" or not isinstance(run.model, OmniJet):
        raise InputError(
            f"{run.directory} was trained for objective {run.config.objective.name}, from which no "
            "jets can be generated: give a run of objective next_particle"
        )
    return run.model


def _reference(run: Run, files: Sequence[str], progress: Progress) -> JetDataset:
    """Return jets as the run would be trained on, of these files."""
    data = run.config.data
    reference = open_dataset(
        JetFiles(files, data.columns, data.cuts, wanted=run.config.wanted_columns),
        data.classes,
        negative_weights=data.negative_weights,
        progress=progress,
    )
    return reference.subset(min(len(reference), _MOST_REFERENCE_JETS))


def _generate(network: OmniJet, num_jets: int, sampling: Sampling, progress: Progress) -> JetArrays:
    batches = progress(
        sample_jets(network, num_jets, sampling),
        total=num_batches(num_jets),
        description="generating",
    )
    return concatenate(list(batches))


def _table(jets: JetArrays) -> JetClassTable:
    """Return what a file holds of jets of which nothing but the particles is known."""
    jet_p4, p4 = jets.jet_p4.astype(np.float64), jets.p4.astype(np.float64)
    return JetClassTable.of_clustered(Jets(np.arange(len(jets)), jet_p4, jets.offsets, p4), {})


def _draw(
    pictures: Mapping[Variable, OutputFile], generated: Variables, reference: Variables
) -> None:
    from parttag.plotting import Sample, distribution_figure, save_figure

    both = {"reference": reference, "generated": generated}
    jet_weights = {name: jets.jet_weights for name, jets in both.items()}
    for variable, file in pictures.items():
        values = {name: jets.column(variable.name) for name, jets in both.items()}
        sample = Sample("", values, jet_weights)
        figure = distribution_figure([sample], variable.label, variable.unit)
        save_figure(figure, file, "png")


def _provenance(run: Run, network: OmniJet, sampling: Sampling) -> dict[str, Any]:
    """Return what makes the jets what they are; the same for the same jets."""
    frame = network.backbone.tokenizer.options.frame
    axis = "the hardest particle's" if frame == "hardest" else "the jet's"
    return {
        "statement": f"generated by a network, not simulated; at η = φ = 0 lies {axis} axis",
        "parttag": parttag.__version__,
        "run": str(run.directory),
        "weights_sha256": weights_sum(run),
        **asdict(sampling),
    }
