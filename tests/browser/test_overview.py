"""The overview in a real browser."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.browser.conftest import TOKEN, dashboard
from tests.browser.seeding import seed_forecasts
from tidecast.connection.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

MANY = 5000
SERIES = "td.col-series"


def test_the_empty_state_says_how_to_push_the_first_reading(page: "Page", address: str) -> None:
    """A user without any series yet sees the command to type."""
    page.goto(address)
    page.wait_for_selector(".empty:visible")
    assert "XADD readings" in page.inner_text(".empty")


def test_series_that_are_met_fill_the_table(page: "Page", address: str, connection: Redis) -> None:
    """Without a reload."""
    page.goto(address)
    page.wait_for_selector(".empty:visible")
    seed_forecasts(connection, ["boiler-1", "boiler-2"], 3, naive_from=1)
    page.wait_for_function("document.querySelectorAll('td.col-series').length == 2", timeout=3000)
    assert ["boiler-1", "boiler-2"] == [text.strip() for text in page.locator(SERIES).all_inner_texts()]
    assert ["ok", "no model"] == [text.strip() for text in page.locator("td.col-state").all_inner_texts()]
    assert not page.is_visible(".empty")


def test_five_thousand_series_are_shown_sorted_and_found(page: "Page", server: EmbeddedRedis, tmp_path: Path) -> None:
    """A page of rows at a time, which can be sorted, searched and turned; coming back finds the same rows again."""
    with Redis.from_url(server.url) as connection:
        seed_forecasts(connection, [f"pump-{i:04}" for i in range(MANY)], 3, naive_from=MANY // 2)
    with dashboard(server, tmp_path) as address:
        page.goto(address)
        page.wait_for_selector("text=1-25 of 5000")
        assert 25 == page.locator(SERIES).count()
        page.click("th.col-series")
        page.wait_for_selector("th.col-series.sorted")
        page.click("th.col-series")
        page.wait_for_selector(f"{SERIES} >> text=pump-4999")
        page.click("th.col-y")
        page.wait_for_function(_sorted_by_reading())
        page.fill("input[aria-label=Search]", "pump-49 no")
        page.wait_for_selector("text=100 of 5,000 series")
        page.wait_for_selector("text=1-25 of 100")
        page.click("button[aria-label='Next page']")
        page.wait_for_selector("text=26-50 of 100")
        page.click(f"{SERIES} a >> nth=0")
        page.wait_for_selector(".title")
        page.go_back()
        page.wait_for_selector("text=26-50 of 100")
        assert "pump-49 no" == page.input_value("input[aria-label=Search]")
        page.wait_for_function(_sorted_by_reading())


def test_an_address_that_leads_nowhere_gets_a_sentence_and_a_link_back(page: "Page", address: str) -> None:
    """A program gets JSON instead."""
    reply = page.goto(f"{address}/nowhere")
    assert reply
    assert 404 == reply.status
    page.click("text=All series")
    page.wait_for_selector(".empty:visible")
    reply = page.request.get(f"{address}/api/nowhere")
    assert (404, {"detail": "There is no page at this address."}) == (reply.status, reply.json())
    for path, status, sentence in (
        ("/?page=first", 422, "A part of this address has a wrong value: page."),
        ("/series", 404, "This address names no series."),
    ):
        reply = page.goto(address + path)
        assert reply
        assert (status, True) == (reply.status, sentence in page.inner_text("body"))
    assert "There is no page at this address." in page.request.post(address).text()


def test_the_page_of_an_unknown_series_opens_with_its_first_forecast(
    page: "Page", address: str, connection: Redis
) -> None:
    """Until then it is a sentence, a link back, and status 404; a name is shown as text."""
    name = "<b>boiler-1</b>"
    page.goto(address)
    page.wait_for_selector(".empty:visible")
    reply = page.goto(f"{address}/series?name={name}")
    assert reply
    assert 404 == reply.status
    assert f"No such series: {name}." in page.inner_text("body")
    seed_forecasts(connection, [name], 3, naive_from=0)
    page.wait_for_selector(".chart.tall svg")


def test_a_mistyped_series_gets_the_similar_name_as_a_link(page: "Page", address: str, connection: Redis) -> None:
    """The link leads to the series' page."""
    seed_forecasts(connection, ["boiler-1/flow", "pump-1"], 3, naive_from=0)
    page.goto(address)
    page.wait_for_selector(f"{SERIES} >> text=pump-1")
    page.goto(f"{address}/series?name=boiller-1/flow")
    assert "Did you mean boiler-1/flow?" in page.inner_text("body")
    page.click("text=boiler-1/flow >> nth=-1")
    page.wait_for_selector(".chart.tall svg")


def test_redis_down_is_said_and_overcome(page: "Page", server: EmbeddedRedis, address: str, connection: Redis) -> None:
    """The figures stay, a banner marks them as old, and it goes when Redis is back with new readings."""
    seed_forecasts(connection, ["boiler-1"], 3, naive_from=1)
    page.goto(address)
    page.wait_for_selector(f"{SERIES} >> text=boiler-1")
    server.kill()
    page.wait_for_selector(".banner.grave:visible")
    assert "Redis cannot be read" in page.inner_text(".banner")
    assert 1 == page.locator(SERIES).count()
    server.start()
    page.wait_for_selector("text=Redis cannot be read", state="hidden")
    seed_forecasts(connection, ["boiler-2"], 3, naive_from=1)
    page.wait_for_selector(f"{SERIES} >> text=boiler-2")


def test_problems_come_first_and_a_button_shows_only_those(page: "Page", address: str, connection: Redis) -> None:
    """The filter is part of the address."""
    seed_forecasts(connection, ["a", "b", "c"], 3, naive_from=1)
    connection.xadd("events", {"kind": "drift", "detail": "level", "series": "c"})
    connection.xadd("dead", {"reason": "bad_value", "detail": "x", "original.series": "b"})
    page.goto(address)
    page.wait_for_selector("button:has-text('drifting 1')")
    page.wait_for_selector("button:has-text('dead letters 1')")
    page.wait_for_selector("td.col-state >> text=dead letters")
    assert ["b", "c", "a"] == [text.strip() for text in page.locator(SERIES).all_inner_texts()]
    assert re.fullmatch("20[0-9-]+ [0-9:]+", page.inner_text("td.col-last >> nth=0"))
    page.click("button:has-text('dead letters 1')")
    page.wait_for_url("**/?state=dead+letters")
    page.reload()
    page.wait_for_selector("text=1 of 3 series")
    assert "b" == page.inner_text(SERIES).strip()


def test_dead_letters_are_listed_by_reason_and_series(page: "Page", address: str, connection: Redis) -> None:
    """With the reading and the remedy; both filters are part of the address."""
    for reason, series, value in (("bad_value", "a", "1,5"), ("bad_value", "b", "<i>"), ("no_value", "a", "")):
        fields = {"reason": reason, "detail": "send a number", "original.series": series, "original.value": value}
        connection.xadd("dead", fields)
    page.goto(f"{address}/dead?reason=bad_value")
    page.wait_for_selector("text=2 dead letters")
    assert "value=1,5" in page.inner_text(".plain")
    assert "value=<i>" in page.inner_text(".plain")
    page.fill("input[aria-label=Series]", "a")
    page.wait_for_selector("text=1 dead letter")
    page.wait_for_url("**/dead?reason=bad_value&series=a")
    page.click("label:has-text('bad_value')")
    page.click("text=all reasons")
    page.wait_for_selector("text=no_value")


def test_a_banner_reports_that_no_worker_runs(page: "Page", address: str, connection: Redis) -> None:
    """It goes when one holds the partition."""
    seed_forecasts(connection, ["boiler-1"], 3, naive_from=1)
    connection.hset("offset", "forecast", 3)
    page.goto(address)
    page.wait_for_selector("text=No worker is running, so no reading is answered.")
    connection.hset("lease", mapping={"epoch": 1, "owner": "plant", "expires_ms": round(time.time() * 1000) + 60_000})
    page.wait_for_selector(".banner", state="hidden")


def test_a_token_is_asked_for_once(page: "Page", server: EmbeddedRedis, tmp_path: Path) -> None:
    """Then a cookie does, also for the socket that moves the page; and the buttons are there."""
    with dashboard(server, tmp_path, DASHBOARD__TOKEN=TOKEN) as address:
        page.goto(address)
        page.fill("input[name=token]", "not-this-one")
        page.click("button")
        page.wait_for_selector("text=That is not the token.")
        page.fill("input[name=token]", TOKEN)
        page.click("button")
        page.wait_for_selector(".figures")
        with Redis.from_url(server.url) as connection:
            seed_forecasts(connection, ["boiler-1"], 3, naive_from=1)
        page.click(f"{SERIES} >> text=boiler-1")
        page.click("text=Roll back")
        page.click("text=Yes")
        page.wait_for_selector("text=No rollback")


def _sorted_by_reading() -> str:
    numbers = "[...document.querySelectorAll('td.col-y')].map(cell => +cell.innerText)"
    return f"(() => {{ const y = {numbers}; return y.length == 25 && y.every((v, i) => !i || y[i - 1] <= v); }})()"
