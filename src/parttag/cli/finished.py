"""What commands do with a network that is trained: evaluate it, and say what that has found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from parttag.cli.terminal import console, say, show_progress

if TYPE_CHECKING:
    from parttag.api.command_line import Evaluation, Ranks, RunConfig


def evaluate_training(
    settings: RunConfig, directory: Path, ranks: Ranks, *, report: bool = True
) -> None:
    """Evaluate a training that is complete, on the processes that it was trained on."""
    from parttag.api import command_line as api

    if ranks.is_first:
        console.print(f"trained: {directory}", highlight=False, soft_wrap=True)
    test = settings.data.test or (settings.data.folds and settings.data.train)
    if not settings.gives_predictions:
        if settings.data.test and ranks.is_first:
            say(
                f"data.test is not evaluated: objective {settings.objective.name} gives jets no "
                f"scores; parttag evaluate {directory} --probe linear says what was learned"
            )
        return
    out = directory / "evaluation"
    if not test or not ranks.any(ranks.is_first and not (out / "metrics.json").exists()):
        return
    tagger = api.load(directory)
    if ranks.is_first:
        api.check_target(tagger, out)
    scored = api.score_run(
        tagger,
        strict=settings.data.strict,
        device=settings.training.device,
        ranks=ranks,
        progress=show_progress if ranks.is_first else api.no_progress,
    )
    if ranks.is_first:
        found = scored.measured()
        found.save(out)
        report_evaluation(str(directory), found, out)
        if report:
            say(api.report_evaluation(tagger, found, out))


def report_evaluation(title: str, found: Evaluation, out: Path, plan: float | None = None) -> None:
    """Say what an evaluation has found, and where it is written."""
    from parttag.cli.tables import metrics_table

    console.print(metrics_table(title, found))
    for sentence in found.sentences():
        say(sentence)
    if plan is not None:
        say(found.plan(plan))
    say(f"written to {out}")
