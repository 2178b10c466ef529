"""One job of a table: train, evaluate, and record what the table needs besides."""

import fcntl
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from parttag.benchmarks.costs import multiply_adds, num_parameters, some_jets
from parttag.benchmarks.plan import Job, refuse_other_configuration
from parttag.data.jet_files import JetFiles
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.evaluation.evaluation import METRICS
from parttag.progress import Progress, no_progress
from parttag.runs.import_weights import import_run
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_unwritable, sha256
from parttag.training.monitor import PreemptionError

logger = logging.getLogger(__name__)

RECORD = "benchmark.json"
"""In ``evaluation/`` of a run: parameters, multiply-adds, and the hashes of the test jets, with
whether they were simulated."""


@dataclass(frozen=True)
class Failure:
    """Why a job was not done."""

    reason: str
    """One sentence."""
    is_users: bool
    """Whether the user can put it right; else it is a fault of ours."""


def is_done(job: Job) -> bool:
    """Return whether nothing is left to do."""
    if job.is_row:
        return (job.directory / "evaluation" / RECORD).is_file()
    if job.weights is not None:
        return (job.directory / "config.yaml").is_file()
    return _done_mark(job).is_file()


def attempt(job: Job, progress: Progress = no_progress) -> Failure | None:
    """Do a job, or what is left of it; return why it failed, if it did.

    The reason is also kept beside the directory, for tables that other processes write.

    Raises
    ------
    PreemptionError
        At SIGTERM, after a checkpoint.
    """
    try:
        with refuse_unwritable(job.directory):
            job.directory.parent.mkdir(parents=True, exist_ok=True)
        with _alone(job):
            refuse_other_configuration(job)
            if not is_done(job):
                logger.info("%s: %s", job.name, job.directory)
                _do(job, progress)
            failure_file(job).unlink(missing_ok=True)
    except PreemptionError:
        raise
    except InputError as error:
        failure = Failure(str(error), is_users=True)
    except Exception as error:  # whatever it is, the other rows go on
        logger.exception("%s failed", job.name)
        failure = Failure(f"a fault of parttag: {type(error).__name__}: {error}", is_users=False)
    else:
        return None
    logger.warning("%s failed: %s", job.name, failure.reason)
    write_file(failure_file(job), failure.reason.encode())
    return failure


def failure_file(job: Job) -> Path:
    """Return where the reason of a failure is kept."""
    return job.directory.with_name(job.directory.name + ".failed")


def _do(job: Job, progress: Progress) -> None:
    if job.config is None:
        _import(job)
        return
    train_run(job.config, job.directory, progress=progress)
    if not job.is_row:
        write_file(_done_mark(job), b"")
        return
    run = load_run(job.directory)
    # Whatever an interrupted evaluation, or one of other jets, has left is replaced.
    evaluate_run(
        run,
        strict=job.config.data.strict,
        device=job.config.training.device,
        progress=progress,
    ).save(job.directory / "evaluation", overwrite=True)
    test = JetFiles(job.config.data.test, job.config.data.columns, wanted=job.config.wanted_columns)
    record = {
        "metrics": sha256(job.directory / "evaluation" / METRICS),
        "parameters": num_parameters(run.model),
        "multiply_adds": multiply_adds(run.model, some_jets(test, job.cost_jets)),
        "simulated": test.is_simulated,
        "test": [source.model_dump() for source in test.describe(progress)],
    }
    path = job.directory / "evaluation" / RECORD
    write_file(path, json.dumps(record, indent=2).encode())


def _import(job: Job) -> None:
    assert job.weights is not None
    assert job.weights_path is not None
    import_run(
        job.weights_path,
        job.weights.features,
        job.directory,
        model=job.weights.model,
        classes=job.weights.classes,
    )


def _done_mark(job: Job) -> Path:
    """Return the file that says that a training is over, which the others do not."""
    return job.directory / "done"


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Wait until no other process does the same job: of an array of jobs, many need one network."""
    path = job.directory.with_name(f".{job.directory.name}.lock")
    with ExitStack() as stack:
        with refuse_unwritable(path):
            lock = stack.enter_context(path.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("%s: waiting for another process that does it", job.name)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
