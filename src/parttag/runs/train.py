"""The training of a run: from its configuration to a directory with the trained network."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import JetDataset, open_dataset, try_files
from parttag.data.loading.loader import JetLoader
from parttag.data.loading.resident import resident_device
from parttag.errors import InputError
from parttag.jets.feature_lists import required_extras
from parttag.models import MODELS, Tagger
from parttag.options import local_name
from parttag.progress import Progress, no_progress
from parttag.runs.config import RunConfig, build_config
from parttag.runs.directory import create, is_begun, log_to, refuse_other_run
from parttag.runs.folds import claim, fold_runs, has_folds
from parttag.runs.kind_options import left_out
from parttag.runs.lock import only_training
from parttag.runs.overlap import shared_jets_warning
from parttag.runs.plugin_parts import plugin_parts
from parttag.runs.reweighting import write_reweighting
from parttag.runs.run import build_network
from parttag.runs.standardization import standardized, with_earlier
from parttag.runs.target_scales import measured_targets, with_earlier_targets
from parttag.runs.teachers import take_teacher
from parttag.training import checkpoint
from parttag.training.batch_norm_statistics import adapt_batch_norms
from parttag.training.determinism import deterministic
from parttag.training.distributed import Ranks, join_ranks
from parttag.training.loop import Trainer
from parttag.training.memory import allocator_hint
from parttag.training.objectives import Distill
from parttag.training.optimizers import build_optimizer
from parttag.training.speedups import choose_speedups
from parttag.training.tokenizers import take_tokenizer
from parttag.training.transfer import (
    freeze_parameters,
    learning_rate_multipliers,
    load_initial_weights,
)

logger = logging.getLogger(__name__)


def train_run(
    config: RunConfig,
    directory: str | Path,
    *,
    ranks: Ranks | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Train what a configuration describes, or continue where a run of it stopped.

    Under ``torchrun`` all processes call it, and the first one writes. Of ``data.folds`` there is a
    run in ``fold_0``, ``fold_1`` and so on, one after the other.

    Parameters
    ----------
    ranks
        Those that have joined already, of ``join_ranks``; by default they join here.

    Returns
    -------
    Path
        The directory, with the trained network. If the run was complete already, nothing is done.

    Raises
    ------
    InputError
        If the directory holds something else or is being trained, the data cannot be used, a loss
        is not finite, a file cannot be written, or another rank died.
    PreemptionError
        At SIGTERM, after a checkpoint.
    """
    directory = Path(local_name(directory))
    if not config.data.train:
        raise InputError("data.train is empty: name the files to train on, data.train=FILES")
    options = config.training
    with ExitStack() as joined:
        if ranks is None:
            ranks = joined.enter_context(join_ranks(options.device, options.rank_timeout))
        if not has_folds(config):
            _train_one(config, directory, ranks, progress)
            return directory
        if ranks.is_first:
            claim(config, directory)
        ranks.wait()
        for own, place in fold_runs(config, directory):
            if ranks.is_first:
                logger.info("%s: without the jets of this fold", place)
            _train_one(own, place, ranks, progress)
    return directory


def _train_one(config: RunConfig, directory: Path, ranks: Ranks, progress: Progress) -> None:
    """Train one network."""
    begun = is_begun(directory)
    config = with_earlier(config, directory if begun else None)
    config = with_earlier_targets(config, directory if begun else None)
    with ExitStack() as alone:
        if ranks.is_first:
            refuse_other_run(directory, config)
            alone.enter_context(only_training(directory))
            refuse_other_run(directory, config)  # which another process has just begun
        else:
            progress = no_progress
        try_files(
            JetFiles(config.data.test, config.data.columns, wanted=config.truth_columns),
            config.data.classes if config.is_classifier else {},
            require_extras=required_extras(config.network_features),
            multi_label=config.is_multi_label,
        )
        train_data = _training_jets(config, progress)
        val_data = open_jets(config, "val", progress) if config.data.val else None
        data = {"train": train_data} | ({"val": val_data} if val_data is not None else {})
        said: list[str] = []
        if not begun:
            config, said = standardized(config, train_data, ranks)
        config, more = measured_targets(config, data, measure=not begun)
        said += more
        said += left_out(config.objective.name, config.network_features, train_data.kinds)
        said += MODELS[config.model.name].network.remarks(config.network_features)
        moved = create(directory, config, data, ranks) if ranks.is_first else []
        ranks.wait()
        with log_to(directory / "train.log", ranks):
            for line in said:
                logger.info("%s", line)
            _log_data(data, moved, warn=ranks.is_first)
            if ranks.is_first and train_data.reweighting is not None:
                write_reweighting(train_data.reweighting, directory)
            trainer = _build_trainer(config, directory, train_data, val_data, ranks, progress)
            if isinstance(trainer.objective, Distill):
                _teach(trainer.objective, config, directory, ranks, progress)
            with deterministic(config.training.deterministic):
                trainer.run()


def _teach(
    objective: Distill, config: RunConfig, directory: Path, ranks: Ranks, progress: Progress
) -> None:
    """Give a distillation its teacher's logits: the first rank makes them, the others read them."""
    if not ranks.is_first:
        ranks.wait()
    take_teacher(
        objective,
        config,
        directory,
        lambda reading: _training_jets(reading, progress),
        (lambda reading: open_jets(reading, "val", progress)) if config.data.val else None,
        ranks.device,
    )
    if ranks.is_first:
        ranks.wait()


def _training_jets(config: RunConfig, progress: Progress) -> JetDataset:
    """Return the jets to train on, with the weights that they count with."""
    data = config.data
    jets = open_jets(config, "train", progress)
    if data.num_train_jets is not None:
        jets = jets.subset(data.num_train_jets, config.training.seed if data.draw_by_seed else None)
    reweight = data.reweight or data.flatten_pt
    return jets if reweight is None else jets.reweighted(reweight, tuple(data.classes))


def _log_data(data: Mapping[str, JetDataset], moved: Sequence[str], *, warn: bool) -> None:
    """Say which jets there are, and what looks wrong with them."""
    for name, part in data.items():
        logger.info("data.%s: %s", name, part.counts)
        if name in moved:
            logger.info("data.%s has other names than before, and the same sums", name)
        if warn and part.check is not None:
            for warning in part.check.warnings(f"data.{name}"):
                logger.warning("%s", warning)
    if warn and "val" in data:
        shared = shared_jets_warning(data["train"], data["val"])
        if shared is not None:
            logger.warning("%s", shared)


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
        JetFiles(
            getattr(config.data, part),
            config.data.columns,
            config.data.cuts,
            config.data.strict,
            wanted=config.training_columns if part == "train" else config.truth_columns,
        ),
        config.data.classes,
        require_extras=required_extras(config.network_features),
        negative_weights=config.data.negative_weights,
        folds=config.data.folds if part == "train" else None,
        multi_label=config.is_multi_label,
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
    if last is not None:  # options that there were not then have their defaults
        earlier = build_config(last["config"]).model_dump(mode="json")
        for part in ("train", "val", "test"):  # the same by their sums, see ``create``
            earlier["data"][part] = config.model_dump(mode="json")["data"][part]
        last["config"] = earlier
    torch.manual_seed(options.seed)
    model, objective = build_network(config)
    description = checkpoint.describe_network(
        model,
        config.model_dump(mode="json"),
        tuple(config.data.classes),
        plugin_parts(config),
    )
    multipliers = _begin(model, config, description, fresh=last is None)
    model.to(ranks.device, torch.float64 if options.precision == "fp64" else torch.float32)
    speedups = choose_speedups(model, objective, options, ranks)
    if speedups.is_compiled:
        model.compile(dynamic=True)
    hint = allocator_hint() if ranks.device.type == "cpu" else None
    if hint is not None:
        logger.info(hint)
    # Ranks begin with the same weights, and then drop out each its own particles.
    torch.manual_seed(_seed_of_rank(options.seed, ranks.rank))

    wanted = config.truth_columns
    trimmer = model.trimmer_of_batches()
    if ranks.device.type != "cuda" or not objective.takes_filled_batches:
        trimmer = None  # the network trims what it is given; other objectives make jets of jets
    if trimmer is not None:
        trimmer.is_done_before = True  # by the loader's threads: a step need not wait for it

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
            extras=bool(required_extras(config.network_features) or wanted.particles or data.kinds),
            pin_memory=ranks.device.type == "cuda",
            resident=resident_device(resident, data, ranks.device),
            trim=trimmer.kept if trimmer is not None and train else None,
        )

    own_loader = loader(train_data, train=True)
    if last is None:  # before the optimizer, which remembers the weights that it begins with
        adapt_batch_norms(model, config.init_from, own_loader, ranks)
    trainer = Trainer(
        model=model,
        objective=objective,
        optimizer=build_optimizer(model, config.optimizer, multipliers),
        schedule=config.schedule,
        options=options,
        train_loader=own_loader,
        val_loader=None if val_data is None else loader(val_data, train=False),
        sources=train_data.sources,
        directory=directory,
        description=description,
        is_graphed=speedups.is_graphed,
        ranks=ranks,
        progress=progress,
    )
    if last is not None:
        trainer.restore(last)
        logger.info("continuing after step %d of %d", trainer.state.step, trainer.num_steps)
    return trainer


def _begin(
    model: Tagger, config: RunConfig, description: Mapping[str, Any], *, fresh: bool
) -> dict[str, float]:
    """Load what the training starts from, if it is fresh; return the multipliers of rates."""
    if config.init_from is not None:
        if fresh:
            load_initial_weights(model, config.init_from, description)
        freeze_parameters(model, config.init_from)
    if fresh:
        take_tokenizer(model, config.tokenizer_from, config.init_from)
    return learning_rate_multipliers(model, config.init_from, config.optimizer.lr_multipliers)


def _seed_of_rank(seed: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, rank]).generate_state(1, np.uint64)[0])
