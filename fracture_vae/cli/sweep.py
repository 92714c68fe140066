"""``sweep``: many runs of a bundle, compared."""

from pathlib import Path

import click

from fracture_vae.cli.options import FILE


@click.command()
@click.argument("config", type=FILE)
@click.option("--out", type=FILE, default=None, help="Folder of the runs. [default: BUNDLE/runs/<name of CONFIG>]")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Runs side by side, which share the processor's cores. [default: one a core, or one a GPU]",
)
def sweep(config: Path, out: Path | None, jobs: int | None) -> None:
    """Train the runs that CONFIG, a YAML file, asks for: a grid of settings, or a search by Optuna.

    Ends with a table of all runs and a picture of reconstruction against KL divergence. Stopped, the same command
    goes on: whole runs are not run again.
    """
    from fracture_vae.sweep.run import run_sweep

    swept = run_sweep(config, out, jobs)
    click.echo(swept.summary())
    swept.raise_failures()
