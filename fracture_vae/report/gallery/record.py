"""The essentials of a run's record: when, on what, by which code."""

import json
from collections.abc import Mapping
from typing import Any

from fracture_vae.markup import text
from fracture_vae.report.gallery.runs import Run
from fracture_vae.training.final_bound import up_to

_PACKAGES = ("fracture-vae", "torch", "monai", "python")


def record(run: Run) -> str:
    """Return a list of what run_meta.json and log.json say of a run, and its settings folded away below."""
    told = {
        "Started": _time(run.meta.get("started")),
        "Finished": _time(run.meta.get("finished")),
        "Data": _data(run.meta),
        "Seed": run.meta.get("seed"),
        "Ran on": run.meta.get("acceleration"),
        "-log p(x), at most": _bound(run),
        "Peak memory": _memory(run.log.get("peak_memory_mib")),
        "Revision": _revision(run.meta.get("git_revision")),
        "Versions": _versions(run.meta.get("versions")),
    }
    items = "".join(
        f"<div><dt>{name}</dt><dd>{text(value, 200)}</dd></div>"
        for name, value in told.items()
        if value not in (None, "")
    )
    if not items:
        return ""
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in sorted(run.settings.items()))
    command = _command(run.meta.get("arguments"))
    folded = (
        f"<details><summary>Command and settings</summary><pre>{text(command, 2000)}\n\n"
        f"{text(settings, 20_000)}</pre></details>"
    )
    return f"<dl>{items}</dl>\n{folded if command or settings else ''}"


def _time(value: Any) -> str:
    return str(value).replace("T", " ").replace("+00:00", " UTC") if value else ""


def _revision(described: Any) -> str:
    revision, _, dirty = str(described or "").partition("-")
    return revision[:12] + (", changed" if dirty else "")


def _data(meta: Mapping[str, Any]) -> str:
    data, cohort = meta.get("data"), meta.get("cohort")
    if isinstance(cohort, dict):  # a run of volumes: data holds a hash for each of them
        held = f", {len(data)} volumes" if isinstance(data, dict) else ""
        return f"cohort {_hash(cohort)}, fold {meta.get('fold')}{held}"
    if not isinstance(data, dict):
        return ""
    samples = data.get("samples")
    held = (
        f", {samples.get('train')} to train, {samples.get('validate')} to validate" if isinstance(samples, dict) else ""
    )
    return f"{data.get('name')} ({_hash(data)}){held}"


def _hash(data: Mapping[str, Any]) -> str:
    return f"SHA-256 {str(data.get('sha256'))[:12]}…"


def _bound(run: Run) -> str:
    if run.bound is None:
        return ""
    return f"{run.bound:.2f} nats, of {run.config.get('nll_samples')} draws{up_to(run.config.get('likelihood'))}"


def _memory(peak: Any) -> str:
    return ", ".join(f"{place} {mib} MiB" for place, mib in peak.items()) if isinstance(peak, dict) else ""


def _versions(versions: Any) -> str:
    if not isinstance(versions, dict):
        return ""
    return ", ".join(f"{package} {versions[package]}" for package in _PACKAGES if package in versions)


def _command(arguments: Any) -> str:
    return " ".join(map(str, arguments)) if isinstance(arguments, list) else ""
