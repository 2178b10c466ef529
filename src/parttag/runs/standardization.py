"""Centre and scale of features made of columns, measured on the training jets where not given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from parttag.data.loading.dataset import JetDataset
from parttag.errors import InputError
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.column_features import ColumnFeature
from parttag.jets.features import FeatureContext
from parttag.jets.jet_features import transformed_of_jets
from parttag.jets.kind_features import split_by_kind
from parttag.jets.value_counts import MOST_VALUES, ValueCounts
from parttag.runs.config import RunConfig, build_config
from parttag.runs.feature_options import FeatureOfColumn
from parttag.runs.plugin_parts import read_config
from parttag.training import checkpoint
from parttag.training.distributed import Ranks
from parttag.training.transfer import InitOptions

CHUNK_JETS = 20_000
"""Jets whose values are looked at at a time."""

# Shares of the values below and above, and how many standard deviations of a Gaussian lie between:
# the middle 68 %, or as much more as it takes for a width, up to everything.
_WIDTHS = ((0.16, 2.0), (0.025, 4.0), (0.005, 5.15), (0.0, 1.0))
_DIGITS = 7


@dataclass
class Measurement:
    """The values of one feature on some jets."""

    of: FeatureOfColumn
    counts: ValueCounts = field(default_factory=ValueCounts)

    def add(self, particles: FeatureContext) -> None:
        """Look at the real particles, or the jets, of a batch."""
        batch, name = particles.batch, self.of.name
        if name.of_jet:
            values = transformed_of_jets(batch, name)
        else:
            values = particles.transformed(name)[: batch.num_particles]
        self.counts.add(values.numpy())

    def feature(self, where: str) -> ColumnFeature:
        """Return the feature with the centre and the scale that it had not.

        Raises
        ------
        InputError
            If there is no finite value, or no other than one.
        """
        feature, counts, key = self.of.feature, self.counts, self.of.key
        if feature.is_measured:
            return feature
        whom = "jets" if self.of.of_jet else self.of.kind or "particles"
        if not len(counts):
            raise InputError(
                f"{key}: {feature.name} is no finite number for any of the {counts.num_missing:,} "
                f"{whom} of {where}; leave it out"
            )
        if counts.low == counts.high and feature.width == "middle":
            raise InputError(
                f"{key}: {feature.name} is {counts.low:g} for all {whom} of {where}, which tells "
                "nothing; leave it out, or give centre and scale"
            )
        width = _width_of_wider_side if feature.width == "wider_side" else measured_width
        measured = {"centre": counts.quantile(0.5), "scale": 1 / width(counts)}
        given = {key: getattr(feature, key) for key in measured}
        known = {
            key: rounded(measured[key]) if value is None else value for key, value in given.items()
        }
        return feature.model_copy(update=known)


def measured_width(counts: ValueCounts) -> float:
    """Return half the width of the middle 68 % of values, or of more where that has none."""
    for share, deviations in _WIDTHS:
        width = counts.quantile(1 - share) - counts.quantile(share)
        if width > 0:
            return width / deviations
    return counts.high - counts.low


def _width_of_wider_side(counts: ValueCounts) -> float:
    low, middle, high = (counts.quantile(share) for share in (0.16, 0.5, 0.84))
    return max(high - middle, middle - low) or 1.0


def rounded(value: float) -> float:
    """Return a number to the digits that a configuration keeps."""
    return float(f"{value:.{_DIGITS}g}")


def measure(
    data: JetDataset,
    features: Sequence[FeatureOfColumn],
    ranks: Ranks | None = None,
    *,
    chunk_jets: int = CHUNK_JETS,
    most_values: int = MOST_VALUES,
) -> list[Measurement]:
    """Return the values of features on all jets of a data set, read once.

    Every rank looks at a share of the jets; what comes out does not depend on how many there are.

    Raises
    ------
    InputError
        If the jets lack a column, or cannot be read.
    """
    ranks = ranks or Ranks()
    found = [Measurement(feature, ValueCounts(most_values)) for feature in features]
    kinds = list(dict.fromkeys(f.kind for f in features if f.kind is not None))
    for batch in _share(data, ranks, chunk_jets):
        contexts: dict[str | None, FeatureContext] = {None: FeatureContext(batch)}
        if kinds:
            _, of_kind = split_by_kind(batch, kinds, others=True)
            contexts |= {kind: FeatureContext(own) for kind, own in of_kind.items()}
        for measurement in found:
            measurement.add(contexts[measurement.of.kind])
    for measurement in found:
        tables = ranks.gather(torch.from_numpy(measurement.counts.to_table()))
        if len(tables) > 1:
            whole = ValueCounts(most_values)
            for table in tables:
                whole.merge(ValueCounts.of_table(table.numpy(), most_values))
            measurement.counts = whole
    return found


def _share(data: JetDataset, ranks: Ranks, chunk_jets: int) -> Iterator[JetBatch]:
    starts = range(0, len(data), chunk_jets)
    for start in starts[ranks.rank :: ranks.size]:
        yield make_batch(data.read([(start, min(start + chunk_jets, len(data)))]))


def with_earlier(config: RunConfig, directory: Path | None) -> RunConfig:
    """Return a configuration with the centres and scales that an earlier training has measured.

    Parameters
    ----------
    directory
        Of the run, if it has been begun: it goes on with its own. Otherwise those of the weights
        that the training starts from count, which mean nothing with others.

    Raises
    ------
    InputError
        If what is to be read cannot be.
    """
    if all(own.feature.is_measured for own in config.column_features):
        return config
    if directory is not None:
        earlier: RunConfig | None = read_config(directory)
    else:
        earlier = _initial(config.init_from)
    if earlier is None:
        return config
    return config.with_column_features(partial(_adopted, found=earlier.column_features))


def _initial(init_from: InitOptions | None) -> RunConfig | None:
    if init_from is None:
        return None
    content = checkpoint.read_checkpoint(checkpoint.weights_file(init_from.path))
    return build_config(content["config"])


def _adopted(of: FeatureOfColumn, found: Sequence[FeatureOfColumn]) -> ColumnFeature:
    """Return a feature with the numbers that it lacks from one that is the same but for them."""
    feature = of.feature
    alike = (own.feature for own in found if (own.kind, own.of_jet) == (of.kind, of.of_jet))
    for other in alike:
        given = {key: getattr(feature, key) for key in ("centre", "scale")}
        filled = feature.model_copy(
            update={key: getattr(other, key) for key, value in given.items() if value is None}
        )
        if filled == other:
            return filled
    return feature


def standardized(config: RunConfig, data: JetDataset, ranks: Ranks) -> tuple[RunConfig, list[str]]:
    """Return the configuration with all centres and scales, and what there is to say of them.

    All ranks come to the same.

    Raises
    ------
    InputError
        If a column has no finite value, or always the same one.
    """
    if not config.column_features:
        return config, []
    found = measure(data, config.column_features, ranks)
    measured = {measurement.of: measurement.feature("data.train") for measurement in found}
    lines = [_line(measurement, "data.train") for measurement in found]
    return config.with_column_features(measured.__getitem__), lines


def _line(measurement: Measurement, where: str) -> str:
    feature, counts = measurement.feature(where), measurement.counts
    how = "as given" if measurement.of.feature.is_measured else "measured"
    missing = ""
    if counts.num_missing:
        total = counts.num_missing + len(counts)
        missing = (
            f"; {counts.num_missing:,} of {total:,} values are not finite and count as "
            f"{feature.missing:g}"
        )
    name = measurement.of.full_name
    return f"{name}: centre {feature.centre:g}, scale {feature.scale:g} ({how}){missing}"
