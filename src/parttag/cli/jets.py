"""The commands that make jets and look at them: simulate, download, prepare, inspect."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    Columns,
    Files,
    ManyValues,
    Overwrite,
    console,
    interrupted,
    local_path,
    say,
    show_progress,
    values_of,
)
from parttag.errors import InputError


@app.command()
def simulate(
    sample: Annotated[
        Literal["toptagging", "jetclass", "masses"],
        typer.Argument(
            help="Top and QCD jets like those of the top-tagging set, the ten classes of JetClass, "
            "or Higgs bosons of many masses and QCD."
        ),
    ],
    jets: Annotated[int, typer.Option(min=20, help="Jets in all, the same number of each class.")],
    out: Annotated[
        Path, typer.Option(parser=local_path, help="Directory for train/, val/, test/.")
    ],
    seed: Annotated[int, typer.Option(min=0, max=8999, help="Other seeds share no event.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="As many as there are cores, if not given.")
    ] = None,
    windows: Annotated[
        Literal["demonstration", "study"] | None,
        typer.Option(
            help="Of toptagging, ranges of pTHat: the narrow ones of a demonstration are three "
            "times as fast, but cut off parts of the sample.",
            show_default="study",
        ),
    ] = None,
    mpi: Annotated[
        bool,
        typer.Option(
            help="Multiparton interactions: with them the jets are like the reference jets, but "
            "take three to five times as long."
        ),
    ] = False,
) -> None:
    """Simulate jets with Pythia 8 and FastJet, to ROOT files in JetClass's layout.

    The same seed gives the same jets. Given again after an interruption, the command continues.

    Example: parttag simulate toptagging --jets 20000 --out jets --windows demonstration
    """
    try:
        from parttag.api.jets import simulate as run

        provenance = run(
            sample,
            jets,
            out,
            seed=seed,
            processes=processes,
            windows=windows,
            mpi=mpi,
            progress=show_progress,
        )
    except KeyboardInterrupt:
        raise interrupted() from None
    console.print(
        f"{jets} jets in {len(provenance['files'])} files of {out}: {provenance['statement']}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def download(
    data_set: Annotated[
        Literal["toptagging", "jetclass", "quarkgluon"], typer.Argument(help="Which public set.")
    ],
    out: Annotated[Path, typer.Option(parser=local_path, help="Directory to download to.")],
    files: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Parts: train, val, test; of jetclass also part0 to part9; of quarkgluon 0 to 19.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """Download a public data set from Zenodo, check it, and unpack archives.

    Example: parttag download jetclass --files val --out data/jetclass

    Given again after an interruption, the command continues.
    """
    try:
        from parttag.api.jets import download as fetch

        downloads = fetch(data_set, out, values_of(files), progress=show_progress)
    except KeyboardInterrupt:
        raise interrupted() from None
    for one in downloads:
        where = f"{len(one.files)} files under {out}" if len(one.files) > 1 else one.files[0]
        say(f"{one.source.name}, MD5 {one.source.md5}: {where}")


@app.command()
def prepare(
    files: Files,
    out: Annotated[Path, typer.Option(parser=local_path, help="Directory to make.")],
    shuffle: Annotated[
        bool, typer.Option(help="Mix the jets of all files, or keep their order.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the jets.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="As many as there are cores, if not given.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler whose workers do it instead."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse bad jets.")] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE,NAME,...",
            help="YAML with a section columns (or data.columns): what branches mean; and names of "
            "the columns to keep, of those in extra and jet_extra (all, if none is named) or other "
            "branches.",
        ),
    ] = None,
    cuts: Annotated[
        str, typer.Option(metavar="YAML", help="As data.cuts: '{jet_pt: [500, 1000]}'.")
    ] = "",
) -> None:
    """Turn files into a JetStore, from which training streams jets in any number.

    Example: parttag prepare data/train_*.root --out stores/train

    The store depends on the files, --shuffle and --seed only. Given again after an interruption,
    the command continues.
    """
    from parttag.api.jets import prepare as prepare_store

    entries = [entry.strip() for entry in values_of(columns) if entry.strip()]
    yaml_files = [e for e in entries if "/" in e or e.endswith((".yaml", ".yml"))]
    yaml_files += [e for e in entries if e not in yaml_files and Path(e).is_file()]
    names = [e for e in entries if e not in yaml_files]
    if len(yaml_files) > 1:
        raise InputError(
            f"--columns {','.join(entries)} names more than one file; put them into one"
        )
    try:
        report = prepare_store(
            files,
            out,
            shuffle=shuffle,
            seed=seed,
            strict=strict,
            columns=local_path(yaml_files[0]) if yaml_files else None,
            column_names=names or None,
            cuts=cuts or None,
            processes=processes,
            scheduler=scheduler,
            progress=show_progress,
        )
    except KeyboardInterrupt:
        raise interrupted() from None
    if report.existed:
        console.print(f"{out} was made from these files before: nothing to do", highlight=False)
    console.print(str(report.counts), highlight=False)
    size = report.num_bytes / 1e6
    console.print(f"{out}: {size:,.1f} MB, shards: {report.num_shards}", highlight=False)


@app.command()
def layouts(
    name: Annotated[str, typer.Argument(help="Show this one.", show_default="all")] = "",
    show: Annotated[
        bool, typer.Option("--print", help="Print the YAML, to copy and change; needs a name.")
    ] = False,
) -> None:
    """List the layouts of public files that one line reads, columns: {layout: NAME}.

    Example: parttag layouts jetnet --print > columns.yaml
    """
    from parttag.api.inspection import layouts as known
    from parttag.errors import InputError

    if not name:
        if show:
            raise InputError("--print is of one layout: give its name too")
        for one in known().values():
            say(f"{one.name}\n    {one.description}")
        return
    if name not in known():
        raise InputError(f"there is no layout {name}; known are {', '.join(known())}")
    one = known()[name]
    if not show:
        say(f"{one.name}\n    {one.description}")
        return
    body = "".join(f"  {line}\n" for line in one.text.splitlines())
    typer.echo(f"# {one.description}\ncolumns:\n{body}", nl=False)


@app.command(cls=ManyValues)
def inspect(
    files: Files,
    against: Annotated[
        list[str] | None, typer.Option(metavar="FILES...", help="A reference to compare with.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, metavar="DIR", help="Draw multiplicity, mass and pT into it."
        ),
    ] = None,
    columns: Columns = None,
    overwrite: Overwrite = False,
) -> None:
    """Look into files: counts, classes, ranges, bad and repeated jets; or compare two samples.

    Example: parttag inspect simulated/*.root --against reference/test.h5 --plots pictures

    With --against, every variable's distance from the reference is given by class, and the AUC of
    a classifier that tells the two samples apart: 0.5 where they are alike.

    Of a file whose layout nobody described yet, its trees and branches are shown, with YAML to
    begin with: write it to a file, correct it, and give that as --columns.

    Jets that several of the files or stores hold are counted pair by pair: give train, val and
    test together to see that they share none.
    """
    from parttag.api import inspection as api
    from parttag.cli import jet_tables as tables

    pictures = api.picture_paths(plots).values() if plots is not None else ()
    if not overwrite:
        api.refuse_existing(pictures)
    unknown = api.undescribed(files) if columns is None and not against else None
    if unknown is not None:
        tables.print_description(unknown)
        return
    sample = api.inspect(files, columns=columns, progress=show_progress)
    inspections = {"sample": sample}
    if against:
        reference = api.inspect(against, columns=columns, progress=show_progress)
        inspections["reference"] = reference
    for name, inspection in inspections.items():
        console.print(tables.counts_table(name, inspection))
        console.print(tables.ranges_table(name, inspection))
        for warning in inspection.warnings:
            say(f"warning: {name}: {warning}")
    repeats = tables.repeats_table(api.by_input(sample, files))
    if repeats is not None:
        console.print(repeats)
    if against:
        found = api.compare_samples(sample, reference)
        say(f"jets of the files that are in the reference too: {found.num_common:,}")
        for comparison in found.by_label:
            console.print(tables.comparison_table(comparison))
    if plots is not None:
        api.draw(plots, inspections, overwrite=overwrite)
    for path in pictures:
        say(f"drawn: {path}")
