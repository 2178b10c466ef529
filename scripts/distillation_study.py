"""What a teacher is worth: PFN and the small Particle Transformer on few jets, taught and not.

    parttag import ParticleNet_kin.pt --model particle_net --features kin --out runs/ParticleNet_kin
    python scripts/distillation_study.py --official runs/ParticleNet_kin \
        --train train.h5 --val val.h5 --test test.h5 --out runs/distillation

The teacher is the official ParticleNet with a new head, which alone learns, on all training jets;
or --teacher RUN, any classifier. Students see the first 20,000 of them, three seeds. It goes on
where it stopped, and prints a Markdown table. About six hours of one core; --toy is a minute.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import parttag as pt
from parttag import Report, Run

STUDENTS = {"PFN": "toptagging/pfn", "ParT, small": "toptagging/particle_transformer_small"}
RATES = {"PFN": 3e-3, "ParT, small": 2e-3}
TINY: dict[str, dict[str, Any]] = {
    "PFN": {"name": "pfn", "particle_dims": [8], "jet_dims": [8]},
    "ParT, small": {
        "name": "particle_transformer",
        "embed_dims": [8, 8],
        "pair_dims": [4],
        "num_heads": 2,
        "num_layers": 1,
        "num_class_layers": 1,
    },
}
POINTS = (0.5, 0.3)


def main(arguments: list[str] | None = None) -> None:
    """Train the teacher and the students, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("train", "val", "test", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--official", help="the run of the official ParticleNet's weights")
    either.add_argument("--teacher", help="a run of a classifier of top and QCD")
    parser.add_argument("--jets", type=int, default=20_000, help="training jets of a student")
    parser.add_argument("--epochs", type=int, default=10, help="of a student")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--student", action="append", choices=STUDENTS, help="some only")
    parser.add_argument("--toy", action="store_true", help="tiny students, one epoch")
    options = parser.parse_args(arguments)
    teacher = pt.load(options.teacher) if options.teacher else train_teacher(options)
    print("| network | AUC | 1/ε_B at 50 % | 1/ε_B at 30 % |\n|---|---|---|---|")
    print(line("teacher", [teacher.evaluate(str(options.test))]), flush=True)
    for name in options.student or STUDENTS:
        for is_taught in (False, True):
            runs = [
                train_student(name, seed, options, teacher if is_taught else None)
                for seed in range(options.seeds)
            ]
            title = f"{name}, taught" if is_taught else name
            print(line(title, [run.evaluate(str(options.test)) for run in runs]), flush=True)


def train_teacher(options: argparse.Namespace) -> Run:
    """Return the official ParticleNet with a new head, trained on all training jets."""
    changes = {
        "init_from.path": options.official,
        "init_from.freeze": ["backbone.*"],
        "init_from.lr_multipliers": {},
        "optimizer.lr": 5e-3,
        "training.batch_size": 256,
        "training.validate_every": 5,
    }
    return pt.train(
        "toptagging/particle_net_finetuned",
        train=options.train,
        val=options.val,
        out=options.out / "teacher",
        epochs=1 if options.toy else 5,
        options=changes,
    )


def train_student(name: str, seed: int, options: argparse.Namespace, teacher: Run | None) -> Run:
    """Return a student, of the teacher or of the labels."""
    changes: dict[str, Any] = {
        "data.num_train_jets": options.jets,
        "optimizer": {"name": "ranger", "lr": RATES[name], "weight_decay": 0.01},
        "schedule": {"name": "cosine", "final": 0.01},
        "training.batch_size": 128,
        "training.drop_last": False,
        "training.seed": seed,
    }
    if options.toy:
        changes["model"] = TINY[name]
    if teacher is not None:
        changes["objective"] = {"name": "distill", "teacher": str(teacher.directory)}
    parts = (name.replace(", ", "_"), "taught" if teacher else "labels", f"{seed}")
    return pt.train(
        STUDENTS[name],
        train=options.train,
        val=options.val,
        out=options.out / "-".join(parts),
        epochs=1 if options.toy else options.epochs,
        options=changes,
    )


def line(title: str, reports: list[Report]) -> str:
    """Return a line of the table: the mean over seeds, its spread, and the error of the jets."""
    cells = [_cell([report.auc for report in reports], ".4f")]
    of_top = [report.rejection["top"] for report in reports]
    cells += [_cell([points[eps_s] for points in of_top], ".0f") for eps_s in POINTS]
    return " | ".join((f"| {title}", *cells)) + " |"


def _cell(estimates: list[Any], form: str) -> str:
    values = [estimate.value for estimate in estimates]
    told = f"{np.mean(values):{form}} ± {np.mean([e.error for e in estimates]):{form}} (jets)"
    spread = [f"± {np.std(values, ddof=1):{form}} (seeds)"] if len(values) > 1 else []
    return " ".join([told, *spread])


if __name__ == "__main__":
    main()
