"""One page lists all series with their figures, and links to their reports."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.reports.harness import SERIES, make_history, make_version, sheets, write_csv
from tidecast.models.model import Model
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from trainer.data.source import Source
from trainer.reports.run_page import run


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a champion of `SERIES`, and a refused version of `poor`."""
    settings = load_settings(store=tmp_path / "models")
    model = make_version()
    store = ModelStore(settings.store)
    store.publish(model)
    evidence = model.header.evidence.model_copy(update={"skill": -0.25, "verdict": "not published"})
    header = model.header.model_copy(update={"series": "poor", "evidence": evidence})
    store.publish(Model(header, model.weights, model.panel), promote=False)
    return settings


def rows(page: Path) -> list[list[str]]:
    """Return the texts of the table, row by row, without links."""
    body = page.read_text().partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>") if row]


def test_every_series_has_a_line_and_those_with_a_champion_a_report(settings: Settings, tmp_path: Path) -> None:
    """The worst comes first, then those without figures; a series without a version says why."""
    file = write_csv(tmp_path / "history.csv", make_history())
    with file.open("a") as more:
        more.write("broken,x,7,1\n")
    with sheets():
        page = run(Source((str(file),)), settings, tmp_path / "out")
    poor, good, broken = rows(page)
    assert ["poor", "none", "-0.250", "0.800", "", "1", "", "not published"] == poor
    assert ["1", "0.500", "0.800"] == good[1:4]
    assert re.fullmatch(r"\d+\.\d %", good[4])
    link = re.search(r'href="([^"]+)"', good[0])
    assert link
    assert (page.parent / link[1]).is_file()
    assert "&lt;script&gt;" in good[0]
    assert ["broken", "none", ""] == broken[:3]
    assert "is not a time" in broken[-1]


def test_without_readings_only_the_store_is_shown(settings: Settings, tmp_path: Path) -> None:
    """No report is written or linked. Readings of another kind are a problem of their series alone."""
    page = run(None, settings, tmp_path / "out")
    assert [page] == list(page.parent.iterdir())
    assert ["poor", SERIES] == [line[0] if line[0] == "poor" else SERIES for line in rows(page)]
    assert "href" not in page.read_text()
    file = write_csv(tmp_path / "other.csv", replace(make_history(features=("wind", "rain")), series="poor"))
    assert 2 == len(rows(run(Source((str(file),)), settings, tmp_path / "out")))


def test_only_the_script_of_the_page_may_run(settings: Settings, tmp_path: Path) -> None:
    """The policy has the digest of the one script; everything else is forbidden."""
    html = run(None, settings, tmp_path / "out").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html
