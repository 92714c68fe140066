"""Pictures of 2D runs: ``latent`` and ``montage``."""

from pathlib import Path

import click

from fracture_vae.cli.options import FILE

_SEED = click.IntRange(0, 2**32 - 1)  # what t-SNE and UMAP take


@click.command()
@click.argument("run", type=FILE)
@click.option("--out", type=FILE, default=None, help="Folder for the figures. [default: RUN/latent]")
@click.option("--from", "start", type=int, default=None, metavar="INDEX", help="Test image an interpolation begins at.")
@click.option("--to", "end", type=int, default=None, metavar="INDEX", help="And ends at; another class by default.")
@click.option("--seed", type=_SEED, default=0, show_default=True, help="Of the images shown, draws, t-SNE and UMAP.")
def latent(run: Path, out: Path | None, start: int | None, end: int | None, seed: int) -> None:
    """Draw the latent space of RUN, a 2D run with weights, and write its points as points.csv."""
    from fracture_vae.report.latent import explore_latent

    explored = explore_latent(run, out, start, end, seed)
    for file in explored.written:
        click.echo(file)
    for name, reason in explored.left_out.items():
        click.echo(f"left out {name}: {reason}")


@click.command()
@click.argument("runs", type=FILE, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", required=True, type=FILE, help="The picture.")
def montage(runs: tuple[Path, ...], out: Path) -> None:
    """Draw the last reconstructions and samples of several 2D RUNs side by side, with the settings that differ."""
    from fracture_vae.report.montage import draw_montage

    click.echo(draw_montage(runs, out))
