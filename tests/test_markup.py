"""What the pages share: names stay text, data stays data, and only the page's own script may run."""

import base64
import hashlib
import json

import pytest

from fracture_vae.markup import anchor, count, data_uri, document, heads, table, text, values
from tests.html_page import Page

ODD = '"><script>alert("1")</script> & \udcff'


def test_text_can_be_put_into_an_element_and_an_attribute() -> None:
    page = Page(document(ODD, f'<p title="{text(ODD)}">{text(ODD)}</p>'))
    shown = ODD.replace("\udcff", "\\udcff")
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(shown) == 2
    assert ("p", {"title": shown}) in page.tags


def test_text_is_cut_where_it_is_asked_to_be() -> None:
    assert text("abcdef", 4) == "abc…"
    assert text("abcd", 4) == "abcd"


def test_values_come_back_and_end_no_script() -> None:
    content = {"name": ODD, "numbers": [1, 2.5, None]}
    written = values(content)
    assert "<" not in written
    assert json.loads(written) == content


def test_values_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        values([float("nan")])


@pytest.mark.parametrize("script", ["", "alert('ö < 1')"])
def test_the_policy_lets_the_page_s_own_script_run_and_no_other(script: str) -> None:
    page = document("t", "<p>b</p>", script=script)
    (policy,) = [attrs["content"] for _, attrs in Page(page).tags if attrs.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    assert policy.split("; ")[:2] == [f"script-src {allowed}", "connect-src 'none'"]
    assert f"<script>{script}</script>" in page or not script


def test_a_table_has_its_heads_and_rows() -> None:
    made = Page(table(heads("A & B", "C"), ["<tr><td>1</td><td>2</td></tr>"], "narrow"))
    assert made.rows == [["A & B", "C"], ["1", "2"]]
    assert made.tags[0] == ("table", {"class": "narrow"})


def test_small_words() -> None:
    assert [count(1, "run"), count(2, "run"), count(0, "vertebra", "vertebrae")] == ["1 run", "2 runs", "0 vertebrae"]
    assert anchor("patient", 'a "b"') == "patient-a%20%22b%22"
    assert data_uri(b"\x00\x01", "image/png") == "data:image/png;base64,AAE="
