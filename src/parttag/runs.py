"""A run: the directory that training leaves, and what is read back from it."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from parttag.config import RunConfig, build_config, dump_config, first_difference, load_config
from parttag.data.dataset import JetDataset, open_dataset, try_files
from parttag.data.files import refuse_damaged, refuse_unwritable, sha256
from parttag.data.loader import JetLoader
from parttag.data.readers.column_layout import layout_of
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.resident import resident_device
from parttag.data.writing import remove_partial_files, whole_directory, write_file
from parttag.errors import InputError
from parttag.features import required_extras
from parttag.interchange.weaver import KNOWN_CLASSES, ModelName, WeaverNetwork, read_network
from parttag.models import Tagger, build_model
from parttag.objectives import Objective, build_objective
from parttag.options import local_name, read_options
from parttag.progress import Progress, no_progress
from parttag.provenance import describe_start
from parttag.training import checkpoint
from parttag.training.distributed import Ranks, join_ranks
from parttag.training.loop import Trainer
from parttag.training.memory import allocator_hint
from parttag.training.optimizers import build_optimizer
from parttag.training.tokenizers import take_tokenizer
from parttag.training.transfer import (
    freeze_parameters,
    learning_rate_multipliers,
    load_initial_weights,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A trained tagger and where it comes from."""

    directory: Path
    config: RunConfig
    model: Tagger
    """In evaluation mode, on the CPU."""
    classes: tuple[str, ...]

    def with_columns(self, columns: ColumnsOptions | None) -> "Run":
        """Return the run with another ``data.columns``, for files of other branches."""
        data = self.config.data.model_copy(update={"columns": columns})
        return replace(self, config=self.config.model_copy(update={"data": data}))


def load_run(directory: str | Path, checkpoint_name: Literal["best", "last"] = "best") -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Raises
    ------
    InputError
        If the directory is no run, or the checkpoint is missing, damaged or of another network.
    """
    directory = Path(local_name(directory))
    if not (directory / "config.yaml").is_file():
        raise InputError(f"{directory} is not a run: it has no config.yaml")
    config = load_config(directory / "config.yaml")
    classes = tuple(config.data.classes)
    model, _ = _build_network(config)
    path = directory / "checkpoints" / f"{checkpoint_name}.pt"
    checkpoint.load_weights(model, checkpoint.read_checkpoint(path), classes, path)
    return Run(directory, config, model.eval(), classes)


def train_run(
    config: RunConfig, directory: str | Path, *, progress: Progress = no_progress
) -> Path:
    """Train what a configuration describes, or continue where a run of it stopped.

    Under ``torchrun`` all processes call it, and the first one writes.

    Returns
    -------
    Path
        The directory, with the trained network. If the run was complete already, nothing is done.

    Raises
    ------
    InputError
        If the directory holds something else, the data cannot be used, a loss is not finite, a
        file cannot be written, or another rank died.
    PreemptionError
        At SIGTERM, after a checkpoint.
    """
    directory = Path(local_name(directory))
    if not config.data.train:
        raise InputError("data.train is empty: name the files to train on, data.train=FILES")
    options = config.training
    with join_ranks(options.device, options.rank_timeout) as ranks:
        if ranks.is_first:
            _refuse_other_run(directory, config)
        else:
            progress = no_progress
        try_files(
            config.data.test,
            config.data.classes if config.is_classifier else {},
            layout=layout_of(config.data.columns),
            require_extras=required_extras(config.features),
        )
        train_data = open_jets(config, "train", progress)
        if config.data.num_train_jets is not None:
            train_data = train_data.subset(config.data.num_train_jets)
        if config.data.flatten_pt is not None:
            train_data = train_data.flattened(config.data.flatten_pt, tuple(config.data.classes))
        val_data = open_jets(config, "val", progress) if config.data.val else None
        data = {"train": train_data} | ({"val": val_data} if val_data is not None else {})
        if ranks.is_first:
            _create(directory, config, data, ranks)
        ranks.wait()
        with _log_to(directory / "train.log", ranks):
            for name, part in data.items():
                logger.info("data.%s: %s", name, part.counts)
                if ranks.is_first and part.check is not None:
                    for warning in part.check.warnings(f"data.{name}"):
                        logger.warning("%s", warning)
            trainer = _build_trainer(config, directory, train_data, val_data, ranks, progress)
            trainer.run()
    return directory


def import_run(
    weights: str | Path,
    features: str | Sequence[str],
    directory: str | Path,
    *,
    model: ModelName = "particle_transformer",
    classes: Sequence[str] = (),
) -> Path:
    """Make a run of a network that weaver-core trained.

    Parameters
    ----------
    weights
        The state dict, of any version of weaver-core since 0.4.
    features
        The features that the network was trained with.
    directory
        Of the run; it appears complete or not at all.
    model
        The network that the weights belong to.
    classes
        Names of the classes in the order of the logits, the label of class ``x`` being ``label_x``;
        not needed for the classes of JetClass and of top tagging.

    Raises
    ------
    InputError
        If the directory exists or cannot be written, the weights cannot be read or are not those
        of this network with these features, or the number of classes is another.
    """
    weights, directory = Path(local_name(weights)), Path(local_name(directory))
    if directory.exists():
        raise InputError(f"{directory} exists already; give another --out")
    read = read_network(weights, features, model)
    labels = {name: (f"label_{name}",) for name in classes} or KNOWN_CLASSES.get(read.num_classes)
    if labels is None or len(labels) != read.num_classes:
        raise InputError(
            f"{weights}: the network has {read.num_classes} classes; give their names in the order "
            "of its logits, --classes NAME,NAME,..."
        )
    config = read_options(
        RunConfig,
        {"data": {"classes": labels}, "features": features, "model": read.options.model_dump()},
    )
    _write_import(directory, config, read, weights)
    return directory


def open_jets(
    config: RunConfig, part: Literal["train", "val"], progress: Progress = no_progress
) -> JetDataset:
    """Return all jets of ``data.train`` or ``data.val``, as the configuration reads them.

    Raises
    ------
    InputError
        As ``open_dataset``.
    """
    return open_dataset(
        getattr(config.data, part),
        config.data.classes,
        strict=config.data.strict,
        layout=layout_of(config.data.columns),
        cuts=config.data.cuts,
        require_extras=required_extras(config.features),
        progress=progress,
    )


def _build_trainer(
    config: RunConfig,
    directory: Path,
    train_data: JetDataset,
    val_data: JetDataset | None,
    ranks: Ranks,
    progress: Progress,
) -> Trainer:
    """Return a trainer at the run's last checkpoint, or at the beginning if there is none."""
    options = config.training
    checkpoints = directory / "checkpoints"
    last = checkpoint.read_last(checkpoints)
    if last is not None:  # of an earlier version, which had fewer options?
        last["config"] = build_config(last["config"]).model_dump(mode="json")
    torch.manual_seed(options.seed)
    model, objective = _build_network(config)
    description = checkpoint.describe_network(
        model, config.model_dump(mode="json"), tuple(config.data.classes)
    )
    multipliers: dict[str, float] = {}
    if config.init_from is not None:
        if last is None:
            load_initial_weights(model, config.init_from, description)
        freeze_parameters(model, config.init_from)
        multipliers = learning_rate_multipliers(model, config.init_from)
    if last is None:
        take_tokenizer(model, config.tokenizer_from, config.init_from)
    model.to(ranks.device, torch.float64 if options.precision == "fp64" else torch.float32)
    if options.compile:
        model.compile(dynamic=True)
    hint = allocator_hint() if ranks.device.type == "cpu" else None
    if hint is not None:
        logger.info(hint)
    # Ranks begin with the same weights, and then drop out each its own particles.
    torch.manual_seed(_seed_of_rank(options.seed, ranks.rank))

    def loader(data: JetDataset, *, train: bool) -> JetLoader:
        resident = options.resident if train else False
        return JetLoader(
            data,
            options.batch_size,
            shuffle=train,
            seed=options.seed,
            max_particles=model.max_particles,
            drop_last=train and options.drop_last,
            rank=ranks.rank,
            world_size=ranks.size,
            extras=bool(required_extras(config.features)),
            pin_memory=ranks.device.type == "cuda",
            resident=resident_device(resident, data, ranks.device),
        )

    trainer = Trainer(
        model=model,
        objective=objective,
        optimizer=build_optimizer(model, config.optimizer, multipliers),
        schedule=config.schedule,
        options=options,
        train_loader=loader(train_data, train=True),
        val_loader=None if val_data is None else loader(val_data, train=False),
        sources=train_data.sources,
        directory=directory,
        description=description,
        ranks=ranks,
        progress=progress,
    )
    if last is not None:
        trainer.restore(last)
        logger.info("continuing after step %d of %d", trainer.state.step, trainer.num_steps)
    return trainer


def _build_network(config: RunConfig) -> tuple[Tagger, Objective]:
    """Return the network, with a head for what it is trained for, and that."""
    # Where there are no classes, the head with one logit makes room for the objective's.
    model = build_model(config.model, config.features, len(config.data.classes) or 1)
    return model, build_objective(config.objective, model)


def _seed_of_rank(seed: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, rank]).generate_state(1, np.uint64)[0])


# ---------------------------------------------------------------------------------- the directory


def _refuse_other_run(directory: Path, config: RunConfig) -> None:
    """Refuse a directory that holds something else than this run.

    A run without a checkpoint, such as one whose first weights could not be used, is nothing yet.
    """
    if not directory.exists():
        return
    path = directory / "config.yaml"
    if path.is_file() and not _is_begun(directory):
        return
    if path.is_file():
        key = first_difference(load_config(path), config)
        if key is not None:
            raise InputError(
                f"{directory} holds another run, whose {key} is different; give another --out, or "
                "the configuration of that run to continue it"
            )
    elif not directory.is_dir() or any(directory.iterdir()):
        raise InputError(f"{directory} exists and is not a run; give another --out")


def _is_begun(directory: Path) -> bool:
    return any((directory / "checkpoints").glob("*.pt"))


def _create(directory: Path, config: RunConfig, data: dict[str, JetDataset], ranks: Ranks) -> None:
    """Write what is known before training, or add this start to what an earlier one wrote."""
    path = directory / "provenance.json"
    hashes = {name: part.provenance() for name, part in data.items()}
    starts = []
    if path.is_file():
        with refuse_damaged(path):
            earlier = json.loads(path.read_text())
            starts, earlier_hashes = earlier["starts"], earlier["data"]
        if earlier_hashes != hashes and _is_begun(directory):
            raise InputError(
                f"{directory}: the jets that this run began with have changed since, by the sums "
                f"in {path.name}; give another --out to train on the new ones"
            )
    starts.append(describe_start(ranks))
    with refuse_unwritable(directory):
        (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
    provenance = {"data": hashes, "starts": starts}
    for place in (directory, directory / "checkpoints"):
        remove_partial_files(place)
    write_file(path, json.dumps(provenance, indent=2).encode())
    write_file(directory / "config.yaml", dump_config(config).encode())


def _write_import(directory: Path, config: RunConfig, read: WeaverNetwork, weights: Path) -> None:
    """Make the directory under another name and then rename it, so that it is never half there."""
    description = checkpoint.describe_network(
        read.network, config.model_dump(mode="json"), tuple(config.data.classes)
    )
    origin = {
        "path": str(weights),
        "bytes": weights.stat().st_size,
        "sha256": sha256(weights),
        "written_by": read.written_by,
    }
    provenance = {"imported": origin, "data": {}, "starts": [describe_start(Ranks())]}
    content = {"weights": read.network.state_dict(), **description}
    with whole_directory(directory) as run:
        checkpoint.write_checkpoint(run / "checkpoints" / checkpoint.BEST, content)
        (run / "provenance.json").write_text(json.dumps(provenance, indent=2))
        (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")


@contextmanager
def _log_to(path: Path, ranks: Ranks) -> Iterator[None]:
    """Write what parttag logs to a file as well; ranks other than the first only warn."""
    package = logging.getLogger("parttag")
    level = package.level
    if not ranks.is_first:
        package.setLevel(logging.WARNING)
        try:
            yield
        finally:
            package.setLevel(level)
        return
    with refuse_unwritable(path):
        handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        handler.emit(package.makeRecord(package.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()
