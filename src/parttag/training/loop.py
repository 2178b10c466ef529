"""The training loop: the same for every network, objective and number of ranks.

A training is a number of steps, counted in ``TrainingState.step`` alone. Which batch a step takes,
its learning rate and the end of an epoch all follow from that number. An *epoch* is one pass over
the training jets unless ``steps_per_epoch`` says otherwise; the jets are then walked through again
and again, and epochs only say when to validate, to lower the rate and to write a line.
"""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from parttag.data.loading.loader import JetLoader
from parttag.errors import InputError
from parttag.jets.arrays import split_index
from parttag.jets.batch import JetBatch
from parttag.jets.filled import FilledBatch
from parttag.models import Tagger
from parttag.progress import Progress, no_progress
from parttag.system.atomic_files import write_file
from parttag.training import checkpoint
from parttag.training.averaging import WeightAverage
from parttag.training.distributed import Ranks
from parttag.training.graph import GraphedSteps
from parttag.training.memory import HeapWatch
from parttag.training.monitor import LossWatch, PreemptionError, SeenLoss, Stopwatch, Termination
from parttag.training.objectives import Objective
from parttag.training.optimizers import Optimizer, multiply_learning_rates
from parttag.training.options import TrainingOptions
from parttag.training.ranger import Lookahead
from parttag.training.record import Record
from parttag.training.restoring import refuse_foreign_training
from parttag.training.schedules import ScheduleOptions, lr_multiplier

logger = logging.getLogger(__name__)

# Ranks agree on stopping once in so many steps: often enough for Slurm, too rarely to cost time.
_AGREE_STEPS = 10
# Where things are in the vector of sums; the objective's metrics follow the loss, their weights
# come last.
_JETS, _WEIGHT, _LOSS = 0, 1, 2
# Far more than a host is ahead of a GPU that it does not wait for, few enough to remember.
_LAG_STEPS = 8
_ROWS_NAMED = 5
_VALIDATION_SEED = 0


@dataclass
class TrainingState:
    """Where a training stands, besides weights, optimizer and random numbers."""

    step: int = 0
    """Steps done."""
    sums: Tensor | None = None
    """Of the running epoch, over all ranks: jets, weight, loss, and the objective's metrics; then
    the weights of these, if it weighs each on its own."""
    seconds: float = 0.0
    """Time that the running epoch has taken."""
    cpu_seconds: float = 0.0
    """Processor time that the running epoch has taken, all threads together."""
    is_cut: bool = False
    """Whether ``max_seconds`` has ended the training before its last step."""
    history: list[dict[str, int | float]] = field(default_factory=list)
    """One entry for each finished epoch: the lines of ``metrics.jsonl``."""


@dataclass
class Trainer:
    """Everything that trains one network, on this rank."""

    model: Tagger
    objective: Objective
    optimizer: Optimizer
    schedule: ScheduleOptions
    options: TrainingOptions
    train_loader: JetLoader
    val_loader: JetLoader | None
    sources: tuple[str, ...]
    """Files of the training jets, as ``JetBatch.index`` counts them."""
    directory: Path
    """Of the run: ``metrics.jsonl``, ``checkpoints/`` and ``tensorboard/`` are written in it."""
    description: dict[str, Any]
    """What every checkpoint says of the network: see ``checkpoint.describe_network``."""
    is_graphed: bool = False
    """Whether steps are captured as CUDA graphs; see ``why_not_graphed``."""
    ranks: Ranks = field(default_factory=Ranks)
    progress: Progress = no_progress
    state: TrainingState = field(default_factory=TrainingState)

    def __post_init__(self) -> None:
        if len(self.train_loader) == 0:
            raise InputError(
                f"training.batch_size: a batch of {self.options.batch_size} is more than all "
                "training jets, and training.drop_last leaves none; make it smaller"
            )
        self.steps_per_epoch = self.options.steps_per_epoch or len(self.train_loader)
        self.num_steps = self.options.steps or self.options.epochs * self.steps_per_epoch
        self.num_epochs = math.ceil(self.num_steps / self.steps_per_epoch)
        device = self.ranks.device
        self._dtype = torch.float64 if self.options.precision == "fp64" else torch.float32
        self._watch = LossWatch(lag=_LAG_STEPS if device.type == "cuda" else 0)
        self._termination = Termination(outlive_error=self.ranks.size > 1)
        self._heap = HeapWatch()
        self._checkpoints = self.directory / "checkpoints"
        tensorboard = self.options.tensorboard and self.ranks.is_first
        self._record = Record(self.directory, tensorboard=tensorboard)
        self._graphed_steps = self._capture() if self.is_graphed else None
        decay = self.options.weight_average
        self._average = None if decay is None else WeightAverage(self.model, decay)

    def _capture(self) -> GraphedSteps:
        longest = self.model.max_particles
        assert isinstance(longest, int)
        return GraphedSteps(
            self._differentiate, self.optimizer, self.train_loader.batch_size, longest, self._dtype
        )

    # ---------------------------------------------------------------------------------- training

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        PreemptionError
            At SIGTERM, after a checkpoint.
        InputError
            If a loss is not finite, or a file cannot be written.
        """
        with self._termination:
            while not self._is_finished():
                self._train_epoch()
                self._close_epoch()
                self._save()
                self._stop_if_asked(0)

    def _is_finished(self) -> bool:
        between_epochs = self.state.sums is None
        return len(self.state.history) == self.num_epochs or (self.state.is_cut and between_epochs)

    def _train_epoch(self) -> None:
        """Train to the end of the running epoch, from wherever in it the state is."""
        epoch = len(self.state.history)
        stop = min((epoch + 1) * self.steps_per_epoch, self.num_steps)
        if self.state.is_cut:  # and the validation was interrupted
            stop = self.state.step
        batches = self.progress(
            self._batches(stop),
            total=stop - self.state.step,
            description=f"epoch {epoch + 1}/{self.num_epochs}",
        )
        self.model.train()
        stopwatch = Stopwatch()
        for batch in batches:
            self._step(batch)
            self._add_time(stopwatch)
            if self._is_out_of_time():
                break
            if (
                self.options.checkpoint_every
                and self.state.step % self.options.checkpoint_every == 0
            ):
                self._save()
            if self.ranks.device.type == "cpu":
                self._heap()
            self._stop_if_asked(self.state.step, save=True)
        self._refuse_bad_loss(self._watch.first_bad(wait=True))
        self._add_time(stopwatch)  # until the device has caught up

    def _add_time(self, stopwatch: Stopwatch) -> None:
        seconds, cpu_seconds = stopwatch.lap()
        self.state.seconds += seconds
        self.state.cpu_seconds += cpu_seconds

    def _is_out_of_time(self) -> bool:
        """Return, and remember, whether the training stops here because of ``max_seconds``."""
        limit, step = self.options.max_seconds, self.state.step
        if limit is None or step == self.num_steps or (self.ranks.size > 1 and step % _AGREE_STEPS):
            return False
        key = "seconds" if self.ranks.device.type == "cuda" else "cpu_seconds"
        spent = getattr(self.state, key) + sum(line[key] for line in self.state.history)
        self.state.is_cut = self.ranks.any(spent > limit)
        return self.state.is_cut

    def _batches(self, stop: int) -> Iterator[JetBatch]:
        """Yield the batches of the steps from now to ``stop``, pass after pass over the jets."""
        step = self.state.step
        while step < stop:
            number, start = divmod(step, len(self.train_loader))
            for batch in islice(self.train_loader.epoch(number, start), stop - step):
                yield batch
                step += 1

    def _step(self, batch: JetBatch) -> None:
        """Update the weights once; nothing in here waits for the device."""
        multiplier = lr_multiplier(
            self.schedule, self.state.step, self.num_steps, self.steps_per_epoch
        )
        multiply_learning_rates(self.optimizer, multiplier)
        if self._graphed_steps is not None:
            summed = self._graphed_steps(batch, self.ranks.device)
        else:
            summed = self._differentiate(batch.to(self.ranks.device, self._dtype))
            self.optimizer.step()
            self.optimizer.zero_grad()
        sums, size = summed[:-1], summed[-1]
        self.state.step += 1
        if self._average is not None:
            self._average.update(self.state.step)
        self.state.sums = sums if self.state.sums is None else self.state.sums + sums
        self._watch.add(self.state.step, sums[_LOSS] / size, batch.index)
        self._refuse_bad_loss(self._watch.first_bad())

    def _differentiate(self, batch: JetBatch) -> Tensor:
        """Compute the gradients of a batch; return its sums over all ranks, then its size."""
        loss_sum, sums, size = self._sums(batch)
        summed = self.ranks.sum(torch.cat([sums, size]))
        torch.autograd.backward(loss_sum / summed[-1].to(loss_sum.dtype))
        self.ranks.sum_gradients(self.model.parameters())
        if self.options.max_grad_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.options.max_grad_norm)
        return summed

    def _sums(self, batch: JetBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss to differentiate, and in float64 all sums of this rank's jets.

        The last is what the loss is divided by, ``BatchSums.size``.
        """
        bf16 = self.options.precision == "bf16"
        with torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=bf16):
            sums = self.objective(self.model, batch)
        names = self.objective.metric_names
        values = [sums.weight, sums.loss, *(sums.metrics[k] for k in names)]
        if self.objective.weighs_metrics:
            values += [sums.weights[k] for k in names]
        number = batch.num_jets if isinstance(batch, FilledBatch) else len(batch)
        num_jets = torch.ones_like(sums.weight) * number
        size = sums.weight if sums.size is None else sums.size
        stacked = torch.stack([v.detach().double() for v in (num_jets, *values)])
        return sums.loss, stacked, size.detach().double()[None]

    # ------------------------------------------------------------------------- end of an epoch

    def _close_epoch(self) -> None:
        """Validate, and write down the epoch; keep its weights if it is the best so far."""
        assert self.state.sums is not None
        epoch = len(self.state.history) + 1
        entry = {
            "epoch": epoch,
            "step": self.state.step,
            "lr": self.optimizer.param_groups[0]["lr"],
            **self._means("train", self.state.sums),
            "jets": int(self.state.sums[_JETS].item()),
            "seconds": self.state.seconds,
            "cpu_seconds": self.state.cpu_seconds,
            "jets_per_second": self.state.sums[_JETS].item() / self.state.seconds,
        }
        last = epoch == self.num_epochs or self.state.is_cut
        validates = last or epoch % self.options.validate_every == 0
        if self.val_loader is not None and validates:
            self._save()  # so that nothing is lost if the validation is interrupted
        with nullcontext() if self._average is None else self._average.in_place():
            if self.val_loader is not None and validates:
                entry |= self._means("val", self._validate(self.val_loader))
            if self.state.is_cut:
                entry["cut"] = True
            self.state.history.append(entry)
            self.state.sums, self.state.seconds, self.state.cpu_seconds = None, 0.0, 0.0
            if self.ranks.is_first:
                self._write_epoch(entry)

    @torch.no_grad()
    def _validate(self, loader: JetLoader) -> Tensor:
        """Return the sums over all validation jets."""
        self.model.eval()
        total = torch.zeros(self._num_sums, dtype=torch.float64)
        total = total.to(self.ranks.device)
        batches = self.progress(loader.epoch(0), total=len(loader), description="validation")
        device = self.ranks.device
        # What an objective draws is the same in every epoch, and the training's draws go on.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(_VALIDATION_SEED)
            for number, batch in enumerate(batches):
                self._stop_if_asked(number)
                total += self._sums(batch.to(device, self._dtype))[1]
        return self.ranks.sum(total)

    def _means(self, prefix: str, sums: Tensor) -> dict[str, float]:
        names, weighs = ("loss", *self.objective.metric_names), self.objective.weighs_metrics
        end = _LOSS + len(names)
        weights = sums[_WEIGHT].expand(len(names))
        if weighs:
            weights = torch.cat([sums[_WEIGHT : _WEIGHT + 1], sums[end:]])
        means = (sums[_LOSS:end] / weights).tolist()
        # Where nothing has weight, as of a target that no jet has, there is no mean.
        return {
            f"{prefix}_{name}": mean
            for name, mean, weight in zip(names, means, weights.tolist(), strict=True)
            if weight or not weighs
        }

    @property
    def _num_sums(self) -> int:
        """Numbers that are summed over an epoch."""
        number = len(self.objective.metric_names)
        return _LOSS + 1 + number * (2 if self.objective.weighs_metrics else 1)

    def _write_epoch(self, entry: dict[str, int | float]) -> None:
        if self._is_best(entry):
            checkpoint.write_checkpoint(self._checkpoints / checkpoint.BEST, self._network())
        self._record.write(self.state.history)
        values = ", ".join(
            f"{k.replace('_', ' ')} {v:.4g}" for k, v in entry.items() if k != "epoch"
        )
        logger.info("epoch %d/%d: %s", entry["epoch"], self.num_epochs, values)
        if self.state.is_cut:
            logger.info("cut by training.max_seconds, of %d steps", self.num_steps)

    def _is_best(self, entry: dict[str, int | float]) -> bool:
        """Return whether no earlier epoch was as good; without validation, every one is best."""
        if self.val_loader is None:
            return True
        by_accuracy = (
            self.options.best_by == "accuracy" and "accuracy" in self.objective.metric_names
        )
        key = "val_accuracy" if by_accuracy else "val_loss"
        if key not in entry:
            return False
        if not math.isfinite(entry[key]):
            return False
        values = [v for line in self.state.history if math.isfinite(v := line.get(key, math.nan))]
        best = max(values) if by_accuracy else min(values)
        return values.index(best) == len(values) - 1

    # ------------------------------------------------------------------- stopping and going on

    def _save(self) -> None:
        """Write all that an exact continuation needs."""
        self._refuse_bad_loss(self._watch.first_bad(wait=True))
        own = checkpoint.random_state(self.ranks.device)
        states = {name: self.ranks.gather(state) for name, state in own.items()}
        if not self.ranks.is_first:
            return
        content = {
            **self._network(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
            "random_states": [
                {name: state[rank] for name, state in states.items()}
                for rank in range(self.ranks.size)
            ],
        }
        if self._average is not None:
            content["average"] = self._average.state_dict()
        checkpoint.write_last(self._checkpoints, content)

    def _network(self) -> dict[str, Any]:
        return {"weights": self.model.state_dict(), **self.description}

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from a checkpoint as if the training had never stopped.

        With another number of ranks than before, dropout draws differ from the uninterrupted run's.

        Raises
        ------
        InputError
            If the checkpoint is of another network or another run, or not as a training has it.
        """
        path = self._checkpoints / checkpoint.LAST
        checkpoint.load_weights(self.model, content, self.description["classes"], path)
        if content["config"] != self.description["config"]:
            raise InputError(f"{path}: this checkpoint is of another run; put back the run's own")
        inner = self.optimizer.inner if isinstance(self.optimizer, Lookahead) else self.optimizer
        refuse_foreign_training(
            content,
            path,
            groups=inner.param_groups,
            slow_weights=getattr(self.optimizer, "slow_weights", None),
            state_class=TrainingState,
            num_sums=self._num_sums,
            num_steps=self.num_steps,
            num_epochs=self.num_epochs,
        )
        self.optimizer.load_state_dict(content["optimizer"])
        if self._average is not None:
            self._average.load_state_dict(content.get("average"), path)
        self.state = TrainingState(**content["state"])
        if self.state.sums is not None:
            self.state.sums = self.state.sums.to(self.ranks.device)
        if len(content["random_states"]) == self.ranks.size:
            checkpoint.set_random_state(
                content["random_states"][self.ranks.rank], self.ranks.device
            )

    def _stop_if_asked(self, count: int, *, save: bool = False) -> None:
        """Stop if SIGTERM came to any rank; several ranks agree on it at every tenth count."""
        if self.ranks.size > 1 and count % _AGREE_STEPS:
            return
        if self.ranks.any(self._termination.asked):
            if save:
                self._save()
            raise PreemptionError(
                f"stopped by SIGTERM after step {self.state.step} of {self.num_steps}; the same "
                "command continues"
            )

    def _refuse_bad_loss(self, bad: SeenLoss | None) -> None:
        """Stop if a loss is not finite; all ranks see the same losses, so all stop."""
        if bad is None:
            return
        files, rows = split_index(torch.cat(self.ranks.gather(bad.index.cpu())).numpy())
        jets = {self.sources[n]: np.sort(rows[files == n]).tolist() for n in np.unique(files)}
        path = self.directory / "bad_batch.json"
        if self.ranks.is_first:
            content = {"step": bad.step, "loss": str(bad.value.item()), "jets": jets}
            write_file(path, json.dumps(content).encode())
        named = "; ".join(f"{name} rows {_first_few(numbers)}" for name, numbers in jets.items())
        raise InputError(
            f"the loss of step {bad.step} is {bad.value.item():g}, not a finite number, for the "
            f"batch of {named} (all in {path}): look at these jets with `parttag inspect`, lower "
            "optimizer.lr or set training.max_grad_norm; docs/how_to/loss_not_finite.md says more"
        )


def _first_few(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:_ROWS_NAMED])) + (" …" if len(rows) > _ROWS_NAMED else "")
