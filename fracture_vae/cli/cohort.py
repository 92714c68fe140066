"""``cohort``: commands that make and look after a cohort.csv."""

import json
import sys
from pathlib import Path

import click

from fracture_vae.cli.options import FILE, SEED


@click.group()
def cohort() -> None:
    """Make and look after a cohort.csv."""


@cohort.command("new")
@click.argument("folder", type=FILE)
@click.option("--labels", type=FILE, default=None, help="CSV with case_id or image, and label (0 normal, 1 abnormal).")
@click.option("--masks", type=FILE, default=None, help="Folder of voxel truths, files named as the volumes.")
@click.option("--folds", default=5, show_default=True, help="Number of folds, by patient.")
@click.option("--seed", default=0, type=SEED, show_default=True, help="Of the assignment to folds.")
@click.option("--out", type=FILE, default=None, help="The table to write. [default: FOLDER/cohort.csv]")
def cohort_new(folder: Path, labels: Path | None, masks: Path | None, folds: int, seed: int, out: Path | None) -> None:
    """List the volumes (.nii, .nii.gz, .npy) below FOLDER in a cohort.csv."""
    from fracture_vae.cohort.folder import cohort_from_folder
    from fracture_vae.cohort.manifest import read_cohort

    path = cohort_from_folder(folder, labels, masks=masks, k=folds, seed=seed, out=out)
    table = read_cohort(path)
    if labels is None:
        click.echo("no labels given: every volume is taken for normal", err=True)
    click.echo(f"{len(table.cases)} cases in folds {', '.join(map(str, table.folds))}: {path}")


@cohort.command("split")
@click.argument("table", type=FILE)
@click.option("--folds", default=5, type=click.IntRange(min=2), show_default=True, help="Number of folds, by patient.")
@click.option(
    "--holdout", default=None, metavar="N|SHARE", help="Patients of the hold-out, as 8 or 0.2; else as it is."
)
@click.option("--seed", default=0, type=SEED, show_default=True, help="Of the order among patients alike.")
@click.option(
    "--folds-file", type=FILE, default=None, help="Folds that are given: CSV, MONAI datalist, nnU-Net splits."
)
@click.option("--out", type=FILE, default=None, help="Another table to write. [default: TABLE]")
@click.option("--reassign", is_flag=True, help="Forget the folds there are; a locked hold-out stays.")
def cohort_split(
    table: Path, folds: int, holdout: str | None, seed: int, folds_file: Path | None, out: Path | None, reassign: bool
) -> None:
    """Deal the patients of TABLE into folds alike, draw a hold-out and lock it."""
    from fracture_vae.cohort.balance import gaps, summary
    from fracture_vae.cohort.split import split_table

    made = split_table(
        table, folds=folds, holdout=holdout, seed=seed, folds_file=folds_file, out=out, reassign=reassign
    )
    click.echo(summary(made.cases, gaps(made.cases)))
    click.echo(made.path)


@cohort.command("check")
@click.argument("table", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def cohort_check(table: Path, as_json: bool) -> None:
    """List all that is wrong with TABLE: leaks, a broken lock, geometry. Every image is read."""
    from fracture_vae.cohort.check import check_table

    report = check_table(table)
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else report.text())
    for problem in () if as_json else report.problems:
        click.echo(f"Error: {report.path}: {problem}", err=True)
    if report.problems:
        sys.exit(2)


@cohort.command("export")
@click.argument("table", type=FILE)
@click.argument("datalist", type=FILE)
def cohort_export(table: Path, datalist: Path) -> None:
    """Write cohort.csv TABLE as a MONAI DATALIST (JSON with training, by fold, and testing)."""
    from fracture_vae.cohort.datalist import to_datalist
    from fracture_vae.cohort.manifest import read_cohort
    from fracture_vae.files import write_text

    content = to_datalist(read_cohort(table), datalist.absolute().parent)
    write_text(datalist, json.dumps(content, indent=2) + "\n")
    click.echo(datalist)


@cohort.command("import")
@click.argument("datalist", type=FILE)
@click.argument("table", type=FILE)
def cohort_import(datalist: Path, table: Path) -> None:
    """Write a MONAI DATALIST (JSON) as a cohort.csv TABLE."""
    from fracture_vae.cohort.datalist import from_datalist
    from fracture_vae.cohort.manifest import write_cohort

    write_cohort(table, from_datalist(datalist))
    click.echo(table)
