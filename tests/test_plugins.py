"""Plugins of other packages: found through entry points, held to the contracts, harmless when broken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from monai.utils import ComponentStore

from fracture_vae import registry
from fracture_vae.errors import InputError

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def with_tiny_plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a Python in which the third-party package is installed, by pip and offline."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(HERE / "third_party", folder / "source")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*install, "--target", str(folder / "site"), str(folder / "source")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def python(code: str, environment: dict[str, str]) -> object:
    """What ``code``, run by a fresh Python, prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_third_party_components_are_found_and_a_broken_plugin_is_reported(with_tiny_plugin: dict[str, str]) -> None:
    code = """
import json
from fracture_vae.networks import build_quantizer
from fracture_vae.registry import components, load_plugins
quantizer = build_quantizer("tiny_sign")  # found without being told to look
print(json.dumps([type(quantizer).__name__, load_plugins(), [c for c in components() if "tiny" in c.origin]]))
"""
    name, plugins, found = python(code, with_tiny_plugin)
    assert name == "TinySign"
    assert ["tiny", "tiny-plugin", ""] in plugins
    assert ["broken", "tiny-plugin", "RuntimeError: the tiny plugin is broken on purpose"] in plugins
    assert ["networks", "tiny_autoencoder", "one convolution, as a third party would add it", "tiny_plugin"] in found
    assert ["corruptions", "tiny_dark", "every image darker", "tiny_plugin"] in found
    assert ["scores", "tiny_cubed", "|x - x̂|³", "tiny_plugin"] in found
    assert ["quantizers", "tiny_sign", "the sign of a single channel", "tiny_plugin"] in found


def test_contracts_run_over_third_party_components(with_tiny_plugin: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "test_contracts.py"), "-k", "tiny"],
        env=with_tiny_plugin, capture_output=True, text=True, check=False, cwd=HERE.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_unknown_component_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="no network is called 'vqvea'; did you mean 'vqvae'"):
        registry.get(registry.NETWORKS, "vqvea")


def test_a_taken_name_is_refused_and_its_first_owner_kept() -> None:
    first = registry.NETWORKS["vqvae"]
    with pytest.raises(InputError, match="'vqvae' in the store networks is taken by fracture_vae"):
        registry.NETWORKS.add("vqvae", "an impostor", object)
    assert registry.NETWORKS["vqvae"] is first
    registry.NETWORKS.add("vqvae", registry.NETWORKS.components["vqvae"].description, first)  # a reload is no clash


def test_stores_are_monai_component_stores() -> None:
    assert all(isinstance(store, ComponentStore) for store in registry.STORES.values())
