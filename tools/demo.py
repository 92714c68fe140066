"""The main job in a few minutes: healthy synthetic spines train the bundle, held-out broken ones are scored.

Run by ``make demo``. Everything lands in one folder, and the last lines say how to look at it.
"""

import logging
import shutil
import sys
import time
from pathlib import Path

import click

from fracture_vae.cohort.synthetic import SyntheticCohort, make_cohort, plan_cohort
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.evaluation import stratified_auroc
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
    folds=4,
    size=64,
    spacing=2.0,
)
TRAINING = {"max_epochs": 30, "learning_rate": 0.001, "compile": "auto", "run_name": "demo", "val_interval": 2}


@click.command()
@click.option("--out", default=Path("demo"), type=click.Path(path_type=Path), help="Folder for everything.")
def demo(out: Path) -> None:
    """Make a cohort, train, write error maps, draw the contact sheet."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began = time.monotonic()
    out = out.resolve()
    cohort = out / "cohort" / "cohort.csv"
    try:
        if cohort.is_file():
            click.echo(f"1/4  synthetic spines: taking those in {cohort.parent}")
        else:
            click.echo(
                "1/4  synthetic spines: 24 healthy patients, 12 held out, a quarter of whose vertebrae are broken"
            )
            make_cohort(cohort.parent, plan_cohort(PLAN))
        click.echo("2/4  training the 3D VQ-VAE on the healthy ones")
        overlays = variant_configs(BUNDLE, "reconstruction")
        train_bundle(BUNDLE, "1", overlays, {"cohort": str(cohort), "project_dir": str(out / "runs"), **TRAINING})
        run = (out / "runs" / "vq3d" / "latest").resolve()
        maps = out / "maps"
        if maps.exists():
            shutil.rmtree(maps)
        click.echo("3/4  error maps of the held-out vertebrae, and on their CTs")
        settings = {"cohort": str(cohort), "split": "test"}
        infer_cases(run, maps, settings, in_source=True)
        click.echo("4/4  contact sheet")
        sheet = draw_contact_sheet(maps, out / "contact_sheet.png", cohort, cases=6)
    except (InputError, PartialFailure) as error:
        raise click.ClickException(str(error)) from error
    _report(cohort, run, maps, sheet, time.monotonic() - began)


def _report(cohort: Path, run: Path, maps: Path, sheet: Path, seconds: float) -> None:
    rows = read_scores(maps / "scores.csv")
    found = stratified_auroc(
        [int(row["label"]) for row in rows],
        [float(row["score"]) for row in rows],
        [row["patient_id"] for row in rows],
    )
    last = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    final = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    broken = next(row for row in sorted(rows, key=lambda row: -float(row["score"])) if row["label"] == "1")
    source = broken["patient_id"]
    click.echo(f"""
Done in {seconds / 60:.1f} minutes.

codebook   {float(final["train/codebook_usage"]):.0%} of the codes used in the last training epoch, perplexity \
{float(final["train/perplexity"]):.0f}
AUROC      {found}
           by plain reconstruction error, mean of its largest values near the vertebra: a first baseline, no more

contact sheet   {sheet}
error maps      {maps}  (scores.csv lists the cases)
run             {run}
cohort          {cohort}

TensorBoard     .venv/bin/tensorboard --logdir {run}
3D Slicer       drag in {cohort.parent / source / "source" / (source + ".nii.gz")}
                and     {maps / (source + "_error.nii.gz")}
                as volumes; in Slice controls put the error map in the foreground, colour table Inferno, opacity 0.5""")


if __name__ == "__main__":
    demo()
