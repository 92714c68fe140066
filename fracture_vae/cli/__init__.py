"""The ``fracture-vae`` command: parses, calls one function, prints. Heavy imports wait until a command needs them."""

import sys
from typing import TYPE_CHECKING, Any

import click

from fracture_vae import __version__
from fracture_vae.cli import cohort, evaluation, gallery, images, latent, models, phantom, plugins, scans, sweep

if TYPE_CHECKING:
    from fracture_vae.errors import InputError


class _Commands(click.Group):
    """Shows bad input as one line: status 2, or 1 where some cases of many failed; ``--debug`` shows the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from fracture_vae.errors import exit_status, known_cause

        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            _end_progress()
            click.echo(
                "Error: interrupted; what is written is whole: call it again (a training with --resume RUN)", err=True
            )
            ctx.exit(130)
        except Exception as error:
            known = known_cause(error) or _as_input_error(error)
            if known is None or ctx.params.get("debug"):
                raise
            _end_progress()
            click.echo(f"Error: {known}", err=True)
            ctx.exit(exit_status(known))


def _end_progress() -> None:
    """End the lines of the progress bars that were running, so that a message has a line of its own."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in list(tqdm._instances):
            bar.close()


def _as_input_error(error: Exception) -> "InputError | None":
    """Return a file or folder that cannot be used as bad input, naming it."""
    from fracture_vae.errors import InputError

    if isinstance(error, OSError) and error.filename is not None:
        return InputError(f"{error.filename}: {error.strerror}; give another file or folder")
    return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fracture-vae")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Learn healthy anatomy, and show voxel by voxel where a scan departs from it. Research use only."""
    del debug


for command in (
    scans.crop,
    scans.prepare,
    scans.fracture,
    scans.inject,
    cohort.cohort,
    phantom.phantom,
    images.data,
    models.train,
    models.baseline,
    models.calibrate,
    models.infer,
    models.sheet,
    evaluation.evaluate,
    sweep.sweep,
    gallery.gallery,
    latent.latent,
    latent.montage,
    plugins.plugins,
):
    main.add_command(command)
