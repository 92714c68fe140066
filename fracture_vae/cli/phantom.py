"""``phantom``: a study of synthetic spines."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from fracture_vae.cli.options import FILE, SEED, size_option, spacing_option


@click.command()
@click.argument("folder", type=FILE)
@click.option("--reference", is_flag=True, help="The reference study's 38 patients, levels, folds and broken levels.")
@click.option("--patients", default=10, show_default=True, help="Patients in the folds.")
@click.option("--holdout", default=2, show_default=True, help="Further patients, fold test.")
@click.option("--levels", default="T12-L2", show_default=True, help="Levels of every patient, such as T4-L5.")
@click.option("--fractured", default=1 / 3, help="Share of the vertebrae broken in the folds. [default: 1/3]")
@click.option("--fractured-holdout", default=0.5, show_default=True, help="The same in the hold-out.")
@click.option("--folds", default=5, show_default=True, help="Number of folds, by patient.")
@size_option
@spacing_option
@click.option("--seed", default=0, type=SEED, show_default=True, help="Everything follows from it.")
@click.pass_context
def phantom(ctx: click.Context, /, folder: Path, reference: bool, levels: str, **plan: Any) -> None:
    """Make a study of synthetic spines, some vertebrae broken, in FOLDER, and say how easy it is.

    Synthetic, not patients: every file says so. A job that was stopped goes on when called again.
    """
    from fracture_vae.cohort.synthetic import SyntheticCohort, asked_levels, make_cohort, plan_cohort, plan_reference
    from fracture_vae.evaluation.difficulty import measure_difficulty

    grid = {name: plan[name] for name in ("size", "spacing", "seed")}
    if reference:
        _refuse_beside(ctx, "--reference", {"levels", *plan} - grid.keys())
        table = make_cohort(folder, plan_reference(**grid))
    else:
        table = make_cohort(folder, plan_cohort(SyntheticCohort(levels=asked_levels(levels), **plan)))
    click.echo(table)
    click.echo(measure_difficulty(table))


def _refuse_beside(ctx: click.Context, flag: str, names: Iterable[str]) -> None:
    """Refuse options that a flag already decides."""
    given = [n for n in sorted(names) if ctx.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"{flag} decides --{given[0].replace('_', '-')}; give one of them")
