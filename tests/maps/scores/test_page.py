"""The page on scores lists those there are."""

import re
from pathlib import Path

from fracture_vae.registry import SCORES, load_plugins

PAGE = Path(__file__).resolve().parents[3] / "docs" / "scores.md"


def test_the_page_lists_every_built_in_score_and_no_other() -> None:
    load_plugins()
    own = {name for name in SCORES.names if SCORES[name].__module__.startswith("fracture_vae.")}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == own
