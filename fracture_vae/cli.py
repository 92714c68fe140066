"""The ``fracture-vae`` command: parses, calls one function, prints. Heavy imports wait until a command needs them."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fracture_vae import __version__

if TYPE_CHECKING:
    from fracture_vae.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
SEED = click.IntRange(min=0)
FILE = click.Path(path_type=Path)


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
            click.echo("Error: interrupted; what is written is whole (a training goes on with --resume RUN)", err=True)
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


@main.command()
@click.argument("source", type=FILE)
@click.option("--out", required=True, type=FILE, help="Folder of the cohort, outside SOURCE; cohort.csv is added to.")
@click.option(
    "--layout",
    default="auto",
    show_default=True,
    metavar="auto|verse|totalsegmentator|pairs|dicom",
    help="How the scans lie in SOURCE; auto looks for all of them, side by side.",
)
@click.option(
    "--labels",
    default="auto",
    show_default=True,
    metavar="auto|verse|totalsegmentator|FILE",
    help="What the masks' numbers mean; auto lets the numbers decide, a file is CSV (label,level) or JSON.",
)
@click.option("--level", "levels", multiple=True, metavar="T4-L5", help="Crop only these levels. Repeatable.")
@click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
@click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
@click.option("--hu-window", nargs=2, type=float, default=(0.0, 1900.0), show_default=True, help="HU mapped to [0, 1].")
@click.option(
    "--labels-csv",
    type=FILE,
    default=None,
    help="What readers said: patient_id, level (or case_id), and genant_grade or label; genant_type if known.",
)
@click.option(
    "--boxes-csv",
    type=FILE,
    default=None,
    help="Weak boxes: patient_id, level (or scan), and i0,i1,j0,j1,k0,k1 in the CT's voxels or x0..z1 in world mm.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes. [default: one a processor]")
def prepare(
    source: Path,
    out: Path,
    layout: str,
    labels: str,
    levels: tuple[str, ...],
    size: int,
    spacing: float,
    hu_window: tuple[float, float],
    labels_csv: Path | None,
    boxes_csv: Path | None,
    jobs: int | None,
) -> None:
    """Make a cohort of all scans below SOURCE: crops, cohort.csv and a page of what looks wrong.

    Takes VerSe/BIDS trees, TotalSegmentator's output, folders of CTs beside folders of masks, and DICOM. A run that
    was stopped goes on where it was; scans that have not changed are not done again. SOURCE is only read.
    """
    import os

    from tqdm import tqdm

    from fracture_vae.cohort.crop import CropSettings
    from fracture_vae.cohort.levels import parse_levels
    from fracture_vae.preparation.run import Tables, prepare
    from fracture_vae.preparation.work import Settings

    prepared = prepare(
        source,
        out,
        Settings(
            labels=labels,
            levels=parse_levels(",".join(levels)) if levels else None,
            crop=CropSettings((size, size, size), spacing, hu_window),
        ),
        layout=layout,
        jobs=jobs or os.cpu_count() or 1,
        tables=Tables(labels_csv, boxes_csv),
        progress=lambda results, count: tqdm(results, "scans", total=count, unit="scan"),
    )
    click.echo(prepared.summary())
    prepared.raise_failures()


@main.command()
@click.option("--ct", required=True, type=FILE, help="CT in HU (NIfTI).")
@click.option("--mask", required=True, type=FILE, help="Vertebra numbers on the CT's grid (NIfTI).")
@click.option("--out", required=True, type=FILE, help="Folder of the set; labels.csv there is added to.")
@click.option(
    "--labels",
    default="verse",
    show_default=True,
    metavar="verse|totalsegmentator|FILE",
    help="What the mask's numbers mean; a file is CSV (label,level) or JSON.",
)
@click.option(
    "--fracture",
    "fractures",
    multiple=True,
    metavar="LEVEL:TYPE:GRADE",
    help="Break this level, as L1:wedge:2; types wedge, biconcave, crush, grades 1 to 3. Repeatable.",
)
@click.option("--share", type=float, default=None, help="Break this share of the whole vertebrae instead.")
@click.option("--sclerosis", is_flag=True, help="With a sclerotic band under the broken endplates.")
@click.option("--cortical-break", is_flag=True, help="With the upper front corner broken off.")
@click.option("--seed", default=0, show_default=True, help="Everything follows from it.")
@click.option("--patient", default=None, help="Patient id; taken from the CT's name by default.")
def fracture(
    ct: Path,
    mask: Path,
    out: Path,
    labels: str,
    fractures: tuple[str, ...],
    share: float | None,
    sclerosis: bool,
    cortical_break: bool,
    seed: int,
    patient: str | None,
) -> None:
    """Break vertebrae of a CT, with the truth voxel by voxel, as a set in VerSe's form."""
    from fracture_vae.cohort.fracture import fracture_ct

    made = fracture_ct(
        ct,
        mask,
        out,
        labels=labels,
        fractures=fractures,
        share=share,
        sclerosis=sclerosis,
        cortical_break=cortical_break,
        seed=seed,
        patient_id=patient,
    )
    for level, broken in made.items():
        lost = ", ".join(f"{loss:.0%} {site}" for site, loss in broken.losses._asdict().items())
        click.echo(f"{level} {broken.parameters.type} grade {broken.parameters.grade}: height lost {lost}")
    click.echo(f"simulated, not a patient's: {out}")


@main.group()
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


@main.command()
@click.argument("folder", type=FILE)
@click.option("--reference", is_flag=True, help="The reference study's 38 patients, levels, folds and broken levels.")
@click.option("--patients", default=10, show_default=True, help="Patients in the folds.")
@click.option("--holdout", default=2, show_default=True, help="Further patients, fold test.")
@click.option("--levels", default="T12-L2", show_default=True, help="Levels of every patient, such as T4-L5.")
@click.option("--fractured", default=1 / 3, help="Share of the vertebrae broken in the folds. [default: 1/3]")
@click.option("--fractured-holdout", default=0.5, show_default=True, help="The same in the hold-out.")
@click.option("--folds", default=5, show_default=True, help="Number of folds, by patient.")
@click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
@click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
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


@main.command()
@click.argument("bundle", type=FILE, required=False)
@click.option("--cohort", "cohort_path", type=FILE, default=None, help="A cohort.csv; a synthetic one by default.")
@click.option("--fold", default=None, metavar="K|all", help="The fold that validates, or all in turn. [default: 1]")
@click.option("--project-dir", type=FILE, default=None, help="Where the run folder goes. [default: BUNDLE/runs]")
@click.option("--name", default=None, help="Last part of the run folder's name.")
@click.option(
    "--config", "overlays", multiple=True, type=FILE, help="Further config merged over train.json. Repeatable."
)
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
    resume: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Train BUNDLE (a folder such as bundles/vq3d), or go on with a run that stopped."""
    from fracture_vae.jobs import resume_run, train_bundle

    given = {"cohort": cohort_path, "project_dir": project_dir, "run_name": name}
    settings = {key: str(value) for key, value in given.items() if value is not None}
    if resume is not None:
        if bundle is not None or settings or overlays or fold is not None:
            raise click.UsageError("--resume goes on with a run as it was started: give it alone, or with --set")
        resume_run(resume, _parse(overrides))
    elif bundle is None:
        raise click.UsageError("give a BUNDLE, such as bundles/vq3d, or --resume RUN")
    else:
        train_bundle(bundle, fold or "1", overlays, {**settings, **_parse(overrides)})


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
@click.option("--cases", default=6, type=click.IntRange(min=1), show_default=True, help="How many cases to show.")
def sheet(maps: Path, cohort_path: Path | None, out: Path | None, cases: int) -> None:
    """Draw a contact sheet of MAPS, a folder infer wrote: image, reconstruction, error and truth in three planes."""
    from fracture_vae.report.contact_sheet import draw_contact_sheet

    click.echo(draw_contact_sheet(maps, out or maps / "contact_sheet.png", cohort_path, cases))


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
