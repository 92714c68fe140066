"""Commands that cut scans into crops (``crop``, ``prepare``), and that make abnormal ones: ``fracture``, ``inject``."""

from pathlib import Path

import click

from fracture_vae.cli.options import (
    FILE,
    SEED,
    ct_option,
    hu_window_option,
    labels_option,
    level_option,
    mask_option,
    patient_option,
    size_option,
    spacing_option,
)


@click.command()
@ct_option
@mask_option
@click.option("--out", required=True, type=FILE, help="Folder of the cohort; cohort.csv there is added to.")
@labels_option
@level_option
@size_option
@spacing_option
@hu_window_option
@patient_option
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


@click.command()
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
@level_option
@size_option
@spacing_option
@hu_window_option
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


@click.command()
@ct_option
@mask_option
@click.option("--out", required=True, type=FILE, help="Folder of the set; labels.csv there is added to.")
@labels_option
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
@patient_option
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


@click.command()
@click.argument("table", metavar="COHORT", type=FILE)
@click.option("--out", required=True, type=FILE, help="New folder of the cohort that is made.")
@click.option("--seed", default=0, type=SEED, show_default=True, help="Everything follows from it.")
def inject(table: Path, out: Path, seed: int) -> None:
    """Put an anomaly into a copy of each normal image of COHORT (a cohort.csv), with the truth voxel by voxel.

    A quarter each is deformed, darker, brighter, or has tissue missing. The normal images stay beside them as they are.
    """
    from tqdm import tqdm

    from fracture_vae.cohort.injection import inject_cohort

    made = inject_cohort(table, out, seed=seed, progress=lambda cases: tqdm(cases, "images", unit="image"))
    click.echo(f"injected anomalies, not a patient's: {made}")
