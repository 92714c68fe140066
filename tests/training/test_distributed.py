"""Two processes train one model: one run folder, the same weights at the end."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.training import join_processes

DRIVER = """
import json, os, sys
import torch
from monai.bundle import create_workflow

settings = json.loads(sys.argv[1])
folder = settings.pop("folder")
workflow = create_workflow(run_id="training", **settings)
workflow.run()
rank = os.environ["RANK"]
network = workflow.parser.get_parsed_content("network")
torch.save(network.state_dict(), f"{folder}/rank{rank}.pt")
workflow.finalize()
"""


def test_two_processes_end_with_one_run_folder_and_equal_weights(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path
) -> None:
    import json

    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    settings = {name: value for name, value in tiny.items() if name != "device"} | {
        "folder": str(tmp_path),
        "config_file": [str(vq3d / "configs" / name) for name in ("train.json", "multi_gpu_train.json")],
        "cohort": str(tiny_cohort),
        "project_dir": str(tmp_path / "runs"),
        "max_epochs": 1,
        "batch_size": 1,
    }
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "driver.py",
         json.dumps(settings)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    moving = ("running_mean", "running_var")  # a rank's own in the last step; rank 0's are saved and used
    differing = [name for name in first if not torch.equal(first[name], second[name]) and not name.endswith(moving)]
    assert differing == []
    runs = [path for path in (tmp_path / "runs" / "vq3d").iterdir() if not path.is_symlink()]
    assert len(runs) == 1
    saved = torch.load(runs[0] / "checkpoints" / "last.pt", weights_only=True)["network"]
    assert all(torch.equal(saved[name], first[name]) for name in saved)
    metrics = (runs[0] / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert len(metrics) == 2


def test_without_torchrun_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(InputError, match="start it with torchrun"):
        join_processes()
