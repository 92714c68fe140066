"""Which pictures can be written."""

from pathlib import Path

from fracture_vae.errors import InputError

FORMATS = (".png", ".pdf", ".svg", ".jpg")


def require_picture_name(out: str | Path) -> None:
    """Require that ``out`` ends as one of ``FORMATS``.

    Raises:
        InputError: otherwise.
    """
    if Path(out).suffix.lower() not in FORMATS:
        raise InputError(f"{out}: no picture format; give a name that ends in {', '.join(FORMATS)}")
