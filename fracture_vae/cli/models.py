"""Commands that train, fit and calibrate models, map errors with them, and draw the maps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fracture_vae.cli.options import FILE

_set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override any key of the bundle's config, such as train#trainer#max_epochs=5. Repeatable.",
)


@click.command()
@click.argument("bundle", type=FILE, required=False)
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="A cohort.csv; a synthetic one by default.")
@click.option("--fold", default=None, metavar="K|all", help="The fold that validates, or all in turn. [default: 1]")
@click.option("--project-dir", type=FILE, default=None, help="Where the run folder goes. [default: BUNDLE/runs]")
@click.option("--name", default=None, help="Last part of the run folder's name.")
@click.option(
    "--config", "overlays", multiple=True, type=FILE, help="Further config merged over train.json. Repeatable."
)
@click.option("--variant", default=None, help="One of BUNDLE/configs/variants, such as free_bits.")
@click.option("--save-weights", is_flag=True, help="Keep checkpoints, in a bundle that keeps none by default.")
@click.option(
    "--resume", type=FILE, default=None, help="Go on with this run folder, as it was started; no BUNDLE then."
)
@_set_option
def train(
    bundle: Path | None,
    cohort_path: Path | None,
    fold: str | None,
    project_dir: Path | None,
    name: str | None,
    overlays: tuple[Path, ...],
    variant: str | None,
    save_weights: bool,
    resume: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Train BUNDLE (a folder such as bundles/vq3d), or go on with a run that stopped."""
    from fracture_vae.jobs import resume_run, train_bundle, variant_configs

    given = {"cohort": cohort_path, "project_dir": project_dir, "run_name": name}
    settings: dict[str, Any] = {key: str(value) for key, value in given.items() if value is not None}
    if save_weights:
        settings["save_weights"] = True
    if resume is not None:
        if bundle is not None or settings or overlays or fold is not None or variant is not None:
            raise click.UsageError("--resume goes on with a run as it was started: give it alone, or with --set")
        resume_run(resume, _parse(overrides))
    elif bundle is None:
        raise click.UsageError("give a BUNDLE, such as bundles/vq3d, or --resume RUN")
    else:
        added = variant_configs(bundle, variant) if variant is not None else ()
        train_bundle(bundle, fold, (*added, *overlays), {**settings, **_parse(overrides)})


@click.command()
@click.argument("name", metavar="template|pca|intensity|volume")
@click.option("--cohort", "cohort_path", type=FILE, required=True, help="A cohort.csv.")
@click.option("--fold", default="1", show_default=True, metavar="K|all", help="The fold left out, or all in turn.")
@click.option("--project-dir", type=FILE, required=True, help="Where the run folder goes.")
@_set_option
def baseline(name: str, cohort_path: Path, fold: str, project_dir: Path, overrides: tuple[str, ...]) -> None:
    """Fit a baseline to a cohort's healthy volumes; its run folder goes wherever a trained one goes.

    \b
    template   the mean volume, of each vertebral level by itself
    pca        principal components (--set components=32)
    intensity  the brightest voxels
    volume     how much tissue there is
    """
    from fracture_vae.jobs import fit_baselines

    click.echo(fit_baselines(name, cohort_path, fold, project_dir, _parse(overrides)))


@click.command()
@click.option("--model", required=True, type=FILE, help="A run folder, a checkpoint or a bundle.")
@click.option("--output", required=True, type=FILE, help="Folder for the maps.")
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="A cohort.csv.")
@click.option("--image", "images", multiple=True, type=FILE, help="A single volume instead. Repeatable.")
@click.option(
    "--split",
    default="auto",
    show_default=True,
    help="Rows of the cohort: validation (the model's fold), test (the hold-out), all, or auto: validation for the "
    "cohort the model was trained on, all for any other.",
)
@click.option("--in-source", is_flag=True, help="Also paste the crops' maps into one map on each source CT's grid.")
@click.option("--npy", is_flag=True, help="Also write every map as .npy.")
@click.option("--bundle", type=FILE, default=None, help="Whose inference.json runs the model, if it is not found.")
@_set_option
def infer(
    model: Path,
    output: Path,
    cohort_path: Path | None,
    images: tuple[Path, ...],
    split: str,
    in_source: bool,
    npy: bool,
    bundle: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Write error maps, sidecars and scores.csv."""
    from fracture_vae.jobs import infer_cases

    settings = {
        "cohort": str(cohort_path) if cohort_path else None,
        "images": [str(image) for image in images],
        "split": split,
        "npy": npy,
        **_parse(overrides),
    }
    infer_cases(model, output, settings, in_source=in_source, bundle=bundle)
    click.echo(f"maps and scores.csv in {output}")


@click.command()
@click.argument("run", type=FILE)
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="What RUN was trained on, if it does not say.")
@click.option("--alpha", default=0.05, show_default=True, help="Rate of false alarms among healthy cases.")
@click.option("--bundle", type=FILE, default=None, help="Whose inference.json runs the model, if it is not found.")
@_set_option
def calibrate(
    run: Path, cohort_path: Path | None, alpha: float, bundle: Path | None, overrides: tuple[str, ...]
) -> None:
    """Calibrate RUN (a run folder, a checkpoint or a bundle) on the normal cases that its models have not seen.

    infer then writes z and p maps too, and p-values.
    """
    from fracture_vae.calibrating import calibrate_run

    click.echo(calibrate_run(run, cohort_path, alpha, _parse(overrides), bundle))


@click.command()
@click.argument("maps", type=FILE)
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="The cohort, for the truth.")
@click.option("--out", type=FILE, default=None, help="The picture. [default: MAPS/contact_sheet.png]")
@click.option("--cases", default=6, type=click.IntRange(min=1), show_default=True, help="How many cases to show.")
def sheet(maps: Path, cohort_path: Path | None, out: Path | None, cases: int) -> None:
    """Draw a contact sheet of MAPS, a folder infer wrote: image, reconstruction, error and truth in three planes."""
    from fracture_vae.report.contact_sheet import draw_contact_sheet

    click.echo(draw_contact_sheet(maps, out or maps / "contact_sheet.png", cohort_path, cases))


def _parse(overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` pairs; values are JSON, or Python's True, False and None, else text."""
    words = {"True": True, "False": False, "None": None}
    pairs: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"'{override}' is not KEY=VALUE", param_hint="--set")
        try:
            pairs[key] = json.loads(text)
        except json.JSONDecodeError:
            pairs[key] = words.get(text, text)
    return pairs
