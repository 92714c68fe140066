"""The ``fracture-vae`` command: parses, calls one function, prints. Heavy imports wait until a command needs them."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fracture_vae import __version__

if TYPE_CHECKING:
    from fracture_vae.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)


class _Commands(click.Group):
    """Shows bad input as one line: status 2, or 1 where some cases of many failed; ``--debug`` shows the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from fracture_vae.errors import exit_status, known_cause

        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            known = known_cause(error) or _as_input_error(error)
            if known is None or ctx.params.get("debug"):
                raise
            click.echo(f"Error: {known}", err=True)
            ctx.exit(exit_status(known))


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


def _set_option(command: F) -> F:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override any key of the bundle's config, such as train#trainer#max_epochs=5. Repeatable.",
    )(command)


@main.command()
@click.option("--ct", required=True, type=FILE, help="CT in HU (NIfTI).")
@click.option("--mask", required=True, type=FILE, help="Vertebra numbers on the CT's grid (NIfTI).")
@click.option("--out", required=True, type=FILE, help="Folder of the cohort; cohort.csv there is added to.")
@click.option(
    "--labels",
    default="verse",
    show_default=True,
    metavar="verse|totalsegmentator|FILE",
    help="What the mask's numbers mean; a file is CSV (label,level) or JSON.",
)
@click.option("--level", "levels", multiple=True, metavar="T4-L5", help="Crop only these levels. Repeatable.")
@click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
@click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
@click.option("--hu-window", nargs=2, type=float, default=(0.0, 1900.0), show_default=True, help="HU mapped to [0, 1].")
@click.option("--patient", default=None, help="Patient id; taken from the CT's name by default.")
@click.option("--truth", default=None, type=FILE, help="Mask of anomalies on the CT's grid.")
def crop(
    ct: Path,
    mask: Path,
    out: Path,
    labels: str,
    levels: tuple[str, ...],
    size: int,
    spacing: float,
    hu_window: tuple[float, float],
    patient: str | None,
    truth: Path | None,
) -> None:
    """Cut one crop a vertebra out of a CT, centred on it, and list them in cohort.csv."""
    from tqdm import tqdm

    from fracture_vae.cohort.crop import crop_vertebrae
    from fracture_vae.cohort.levels import parse_levels

    cases = crop_vertebrae(
        ct,
        mask,
        out,
        labels=labels,
        levels=parse_levels(",".join(levels)) if levels else None,
        size=(size, size, size),
        spacing=spacing,
        hu_window=hu_window,
        patient_id=patient,
        truth_path=truth,
        progress=lambda names: tqdm(names, "vertebrae", unit="crop"),
    )
    click.echo(f"{len(cases)} crops ({', '.join(case.level for case in cases)}) in {out / 'cohort.csv'}")


@main.group()
def cohort() -> None:
    """Make and look after a cohort.csv."""


@cohort.command("new")
@click.argument("folder", type=FILE)
@click.option("--labels", type=FILE, default=None, help="CSV with case_id or image, and label (0 normal, 1 abnormal).")
@click.option("--masks", type=FILE, default=None, help="Folder of voxel truths, files named as the volumes.")
@click.option("--folds", default=5, show_default=True, help="Number of folds, by patient.")
@click.option("--seed", default=0, show_default=True, help="Of the assignment to folds.")
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


@cohort.command("synthetic")
@click.argument("folder", type=FILE)
@click.option("--patients", default=10, show_default=True, help="Patients in the folds.")
@click.option("--holdout", default=2, show_default=True, help="Further patients, fold test.")
@click.option("--levels", default="T12,L1,L2", show_default=True, help="Consecutive levels from head to foot.")
@click.option("--fractured", default=1 / 3, help="Share of the vertebrae broken in the folds. [default: 1/3]")
@click.option("--fractured-holdout", default=0.5, show_default=True, help="The same in the hold-out.")
@click.option("--folds", default=5, show_default=True, help="Number of folds, by patient.")
@click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
@click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
@click.option("--seed", default=0, show_default=True, help="Everything follows from it.")
def cohort_synthetic(folder: Path, levels: str, **plan: Any) -> None:
    """Make a cohort of synthetic spines, some vertebrae broken, in FOLDER."""
    from fracture_vae.cohort.synthetic import SyntheticCohort, make_cohort

    click.echo(make_cohort(folder, SyntheticCohort(levels=tuple(levels.split(",")), **plan)))


@main.command()
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
    from fracture_vae.jobs import resume_run, train_bundle, variant_config

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
        added = (variant_config(bundle, variant),) if variant is not None else ()
        train_bundle(bundle, fold, (*added, *overlays), {**settings, **_parse(overrides)})


@main.command()
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


@main.command()
@click.argument("maps", type=FILE)
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="The cohort, for the truth.")
@click.option("--out", type=FILE, default=None, help="The picture. [default: MAPS/contact_sheet.png]")
@click.option("--cases", default=6, show_default=True, help="How many cases to show.")
def sheet(maps: Path, cohort_path: Path | None, out: Path | None, cases: int) -> None:
    """Draw a contact sheet of MAPS, a folder infer wrote: image, reconstruction, error and truth in three planes."""
    from fracture_vae.report.contact_sheet import draw_contact_sheet

    click.echo(draw_contact_sheet(maps, out or maps / "contact_sheet.png", cohort_path, cases))


@main.command()
@click.argument("name")
@click.option("--from", "source", type=FILE, default=None, help="Folder that holds the files; nothing is downloaded.")
@click.option("--out", type=FILE, default=None, help="Folder of data sets. [default: images in the cache folder]")
def data(name: str, source: Path | None, out: Path | None) -> None:
    """Fetch the image set NAME (mnist, fashion-mnist or cifar10), verified against SHA-256."""
    from fracture_vae.cohort.images import find_dataset, fetch_images, images_folder

    dataset = find_dataset(name)
    folder = fetch_images(dataset, (out or images_folder()) / dataset.name, source)
    click.echo(f"{dataset.title} ({dataset.licence}) in {folder}")


@main.command()
def plugins() -> None:
    """List what is registered, from where, with its one-line description."""
    from fracture_vae import registry

    loaded = registry.load_plugins()
    for component in registry.components():
        click.echo(f"{component.store:11} {component.name:20} {component.origin:45} {component.description}")
    for plugin in loaded:
        state = f"failed: {plugin.error}" if plugin.error else "loaded"
        click.echo(f"plugin      {plugin.name:20} {plugin.distribution:45} {state}")
    if any(plugin.error for plugin in loaded):
        sys.exit(1)


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


if __name__ == "__main__":
    main()
