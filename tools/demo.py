"""The main job in a few minutes: healthy synthetic spines teach three models, held-out broken ones are found.

Run by ``make demo``. Everything lands in one folder, and the last lines say how to look at it.
"""

import logging
import shutil
import sys
import time
from pathlib import Path

import click

from fracture_vae.calibrating import calibrate_run
from fracture_vae.cohort.synthetic import SyntheticCohort, make_cohort, plan_cohort
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.evaluation.evaluate import Evaluation, evaluate
from fracture_vae.evaluation.picture import draw_curves
from fracture_vae.evaluation.table import write_evaluation
from fracture_vae.jobs import infer_cases, train_bundle, variant_configs
from fracture_vae.maps import read_scores
from fracture_vae.report.contact_sheet import draw_contact_sheet

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "vq3d"
PLAN = SyntheticCohort(
    patients=24,
    holdout=12,
    levels=("T11", "T12", "L1", "L2"),
    fractured=0.0,
    fractured_holdout=0.25,
    folds=3,
    size=64,
    spacing=2.0,
)
TRAINING = {"max_epochs": 40, "compile": "auto", "run_name": "demo", "val_interval": 5}
ALPHA = 0.05


@click.command()
@click.option("--out", default=Path("demo"), type=click.Path(path_type=Path), help="Folder for everything.")
def demo(out: Path) -> None:
    """Make a cohort, train, calibrate, write maps of the held-out spines, evaluate, draw the contact sheet."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began = time.monotonic()
    out = out.resolve()
    cohort = out / "cohort" / "cohort.csv"
    try:
        if cohort.is_file():
            click.echo(f"1/5  synthetic spines: taking those in {cohort.parent}")
        else:
            click.echo(
                "1/5  synthetic spines: 24 healthy patients, 12 held out, a quarter of whose vertebrae are broken"
            )
            make_cohort(cohort.parent, plan_cohort(PLAN))
        click.echo("2/5  training a model a fold on the healthy ones, with vertebrae made to collapse in training")
        overlays = variant_configs(BUNDLE, "head_alone")
        train_bundle(BUNDLE, "all", overlays, {"cohort": str(cohort), "project_dir": str(out / "runs"), **TRAINING})
        run = (out / "runs" / "vq3d" / "latest").resolve()
        click.echo("3/5  calibrating: what do healthy vertebrae score that a model has not seen?")
        click.echo(f"     {calibrate_run(run, cohort, ALPHA, {})}")
        maps = out / "maps"
        if maps.exists():
            shutil.rmtree(maps)
        click.echo("4/5  maps of the held-out vertebrae, and on their CTs")
        infer_cases(run, maps, {"cohort": str(cohort), "split": "test"}, in_source=True)
        click.echo("5/5  evaluation and contact sheet")
        found = evaluate(maps, cohort)
        table, curves = write_evaluation(found, out)[1], draw_curves(found, out)
        sheet = draw_contact_sheet(maps, out / "contact_sheet.png", cohort, cases=6)
    except (InputError, PartialFailure) as error:
        raise click.ClickException(str(error)) from error
    rows = read_scores(maps / "scores.csv")
    click.echo(f"\nDone in {(time.monotonic() - began) / 60:.1f} minutes.\n\n{_figures(found, rows)}")
    broken = next(row for row in sorted(rows, key=lambda row: -float(row["score_z"])) if row["label"] == "1")
    source = broken["patient_id"]
    click.echo(f"""
contact sheet   {sheet}
evaluation      {table}, {curves.name}
maps            {maps}  (scores.csv lists the cases)
run             {run}
cohort          {cohort}

TensorBoard     .venv/bin/tensorboard --logdir {run}
3D Slicer       drag in {cohort.parent / source / "source" / (source + ".nii.gz")}
                and     {maps / (source + "_error.nii.gz")}
                as volumes; in Slice controls put the error map in the foreground, colour table Inferno, opacity 0.5""")


def _figures(found: Evaluation, rows: list[dict[str, str]]) -> str:
    """Return what was found, in words: nothing but this is known of the demo."""
    everything, measures = found.groups[0], found.overall
    alarms = {label: sum(row["flagged"] == "1" for row in rows if row["label"] == label) for label in ("0", "1")}
    share = alarms["0"] / everything.normal

    def told(name: str) -> str:
        value = measures[name]
        return f"{value.value:.2f} (95 % interval {value.low:.2f} to {value.high:.2f} over patients)"

    return f"""\
{everything.abnormal} broken and {everything.normal} whole vertebrae of {everything.patients} patients nobody has seen
AUROC      {told("auroc")}
           within levels {told("within_level_auroc")}
found      {alarms["1"]} of {everything.abnormal} broken ones are flagged
alarms     {alarms["0"]} of {everything.normal} whole ones are flagged too, {share:.3f} of them; {ALPHA:g} was asked for
voxels     average precision {told("voxel_average_precision")};
           a map without knowledge has {everything.anomalous:.4f}: it marks the body, not the shell that moved"""


if __name__ == "__main__":
    demo()
