"""The command that compares maps with the truth: ``evaluate``."""

from pathlib import Path

import click

from fracture_vae.cli.options import FILE, SEED


@click.command()
@click.argument("maps", type=FILE)
@click.option("--cohort", "cohort_path", required=True, type=FILE, help="The cohort.csv the maps were made of.")
@click.option(
    "--against", multiple=True, type=FILE, help="Other maps of the same cases: their difference, paired. Repeatable."
)
@click.option("--out", type=FILE, default=None, help="Folder for evaluation.json, .md and .png. [default: MAPS]")
@click.option(
    "--map", "kind", type=click.Choice(["error", "z"]), default=None, help="Which maps. [default: z where all have it]"
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the resamples.")
@click.option("--unrecorded", is_flag=True, help="Look at the hold-out even where the look cannot be recorded.")
def evaluate(
    maps: Path,
    cohort_path: Path,
    against: tuple[Path, ...],
    out: Path | None,
    kind: str | None,
    seed: int,
    unrecorded: bool,
) -> None:
    """Compare the maps and scores in MAPS, a folder infer wrote, with the truth: every figure with its interval."""
    from fracture_vae.evaluation.evaluate import evaluate as evaluate_maps
    from fracture_vae.evaluation.picture import draw_curves
    from fracture_vae.evaluation.table import as_table, write_evaluation
    from fracture_vae.files import require_folder

    require_folder(out or maps)
    found = evaluate_maps(maps, cohort_path, against=against, kind=kind, seed=seed, unrecorded=unrecorded)
    written = [*write_evaluation(found, out or maps), draw_curves(found, out or maps)]
    click.echo(as_table(found))
    click.echo("\n".join(map(str, written)))
