"""``gallery``: all runs of a group on one page."""

from pathlib import Path

import click

from fracture_vae.cli.options import FILE


@click.command()
@click.argument("groups", metavar="GROUP...", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, default=None, help="The page. [default: gallery.html in the first GROUP]")
def gallery(groups: tuple[Path, ...], out: Path | None) -> None:
    """Show all runs below each GROUP, a folder of run folders, on one HTML page: table, curves, pictures, latents."""
    from fracture_vae.markup import count
    from fracture_vae.report.gallery import write_gallery

    made = write_gallery(groups, out)
    click.echo(
        f"{made.path}: {count(made.runs, 'run')}, {made.explorers} with a latent explorer, {made.size / 2**20:.2f} MiB"
    )
