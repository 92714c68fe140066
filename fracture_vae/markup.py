"""What the HTML pages have in common: the frame and its style, escaping, and files and values held inside a page.

Whatever comes from files and folders (names above all) goes through :func:`text`, :func:`anchor` or :func:`values`.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """Return a whole page: ``body`` below the style that all pages share and ``style``, with ``script`` at its end.

    The page states a policy by which a browser runs ``script`` and no other, and connects to nowhere. Characters that
    are no UTF-8 (of file names) are shown as escapes.

    Args:
        title: plain text.
        body: markup.
        style: CSS.
        script: JavaScript; it must not hold ``</script``.
    """
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    page = _FRAME.format(
        policy=f"script-src {allowed}; connect-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'",
        title=text(title),
        style=_STYLE + style,
        body=body,
        script=f"<script>{script}</script>\n" if script else "",
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def text(value: object, longest: int | None = None) -> str:
    """Return ``value`` as text that is no markup, in an element or an attribute, cut to ``longest`` characters."""
    plain = str(value)
    return escape(plain if longest is None or len(plain) <= longest else plain[: longest - 1] + "…")


def anchor(kind: str, name: str) -> str:
    """Return an id for ``name`` that links to it can use."""
    return f"{kind}-{quote(name, safe='', errors='backslashreplace')}"


def table(head: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """Return a table of the CSS class ``kind``: ``head`` is the markup of its heads, ``rows`` that of whole rows."""
    return (
        f'<table class="{kind}">\n<thead><tr>{"".join(head)}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>"
    )


def heads(*names: str) -> list[str]:
    """Return the plain column heads of a table."""
    return [f"<th>{text(name)}</th>" for name in names]


def data_uri(content: bytes, kind: str) -> str:
    """Return an address that holds ``content`` itself; ``kind`` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def values(content: Any) -> str:
    """Return JSON for an inline script of the type ``application/json``, which can't end that script."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def count(number: int, one: str, many: str = "") -> str:
    """Return ``number`` and what is counted, in the plural where it is due."""
    return f"{number} {one if number == 1 else many or one + 's'}"


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
{script}</body>
</html>
"""

_STYLE = """:root { color-scheme: light; --ink: #1b2733; --paper: #fff; --quiet: #5b6b7a; --line: #d5dce3;
  --faint: #e6ebf0; --link: #0b57d0; --serious: #b3261e; --look: #8a5a00; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e3e8ed; --paper: #14191f; --quiet: #9fadba; --line: #3a4550;
    --faint: #28313a; --link: #8ab4f8; --serious: #ff8a80; --look: #ffc35c; }
}
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1400px; margin: 2em auto; padding: 0 1.5em;
  color: var(--ink); background: var(--paper); }
a { color: var(--link); }
h1 { margin-bottom: 0; }
h2 { margin-top: 2em; border-bottom: 1px solid var(--line); padding-bottom: .2em; overflow-wrap: anywhere; }
.lead { font-size: 1.15em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35em .8em .35em 0; border-bottom: 1px solid var(--faint); }
th { color: var(--quiet); font-weight: 600; }
figure { margin: 0; }
"""
