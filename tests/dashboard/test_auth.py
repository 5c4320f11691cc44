"""The login: no request gets in by oversight."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from dashboard.auth import Access, check_access
from tidecast.errors import SettingsError

TOKEN = "correct horse battery"  # noqa: S105 - of these tests alone


def door(token: str, host: str = "127.0.0.1") -> AsyncClient:
    """Return a client before an application that has one page."""
    app = FastAPI()
    app.get("/")(lambda: "inside")
    return AsyncClient(transport=ASGITransport(Access(app, token)), base_url=f"http://{host}")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "plant.example"])  # noqa: S104 - must be refused
def test_beyond_this_machine_a_token_is_needed(host: str) -> None:
    """The message shows how to set it."""
    with pytest.raises(SettingsError, match="TIDECAST_DASHBOARD__TOKEN"):
        check_access(host, "")
    check_access(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_none_is(host: str) -> None:
    """A user of this machine needs no token."""
    check_access(host, "")


def test_a_token_that_is_soon_guessed_is_refused() -> None:
    """On this machine too; the sentence does not hold it."""
    with pytest.raises(SettingsError) as caught:
        check_access("127.0.0.1", "secret")
    assert "secret" not in str(caught.value)


async def test_without_a_token_only_names_of_this_machine_are_served() -> None:
    """A foreign page that has its own name point here sees nothing."""
    assert 200 == (await door("").get("/")).status_code
    assert 200 == (await door("", "localhost:8088").get("/")).status_code
    assert 200 == (await door("", "[::1]:8088").get("/")).status_code
    assert 403 == (await door("", "evil.example").get("/")).status_code


async def test_the_token_opens_the_door_once_and_a_cookie_keeps_it_open() -> None:
    """It comes by the form or in the address, and leaves the address at once; the cookie does not contain it."""
    client = door(TOKEN)
    assert 401 == (await client.get("/")).status_code
    assert 401 == (await client.post("/login", data={"token": "wrong"})).status_code
    assert 401 == (await client.get("/", params={"token": "wrong"})).status_code
    entered = await client.get("/", params={"token": TOKEN, "name": "a"})
    assert (303, "/?name=a") == (entered.status_code, entered.headers["location"])
    assert "correct" not in entered.headers["set-cookie"]
    assert {"httponly", "samesite=strict"} <= set(entered.headers["set-cookie"].lower().split("; "))
    assert "inside" == (await client.get("/")).json()


async def test_the_form_leads_to_the_first_page() -> None:
    """This is so for any page requested before."""
    entered = await door(TOKEN).post("/login", data={"token": TOKEN})
    assert (303, "/") == (entered.status_code, entered.headers["location"])


async def test_an_address_with_two_slashes_leads_to_no_other_host() -> None:
    """A redirect stays here."""
    entered = await door(TOKEN).get("http://127.0.0.1//evil.example/", params={"token": TOKEN})
    assert "/evil.example/" == entered.headers["location"]


async def test_the_socket_is_behind_the_same_door() -> None:
    """The socket that updates the page needs the token too."""
    cookie = (await door(TOKEN).get("/", params={"token": TOKEN})).headers["set-cookie"].partition(";")[0]
    assert [{"type": "websocket.close", "code": 1008}] == await knock(b"")
    assert [{"type": "websocket.accept"}] == await knock(cookie.encode())


async def knock(cookie: bytes) -> list[Any]:
    """Return the answer to a request to open the socket."""
    answers: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"cookie", cookie)]
    await Access(app, TOKEN)({"type": "websocket", "headers": headers}, receive, send)
    return answers
