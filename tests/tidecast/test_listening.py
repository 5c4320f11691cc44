"""Listening sockets: every form of an address works, and a message blames the setting that is wrong."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tidecast.connection.embedded import free_port
from tidecast.errors import SettingsError
from tidecast.listening import ListenAddress, listen, unbracketed, url_of

FDS = Path("/proc/self/fd")


def place(host: str, port: int = 0) -> ListenAddress:
    """Somewhere to listen, by the names of the worker's settings."""
    return ListenAddress(host, port, "worker.health_host", "worker.health_port")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has, on IPv4 and IPv6."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
        yield int(other.getsockname()[1])


def reached(host: str, port: int) -> bool:
    """Return whether a server listens there."""
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("[::1]", ["::1"]),
        ("0.0.0.0", ["127.0.0.1"]),  # noqa: S104 - on purpose
        ("::", ["::1", "127.0.0.1"]),
        ("[::]", ["::1", "127.0.0.1"]),
        ("", ["::1", "127.0.0.1"]),
        ("localhost", ["localhost"]),
        ("0:0:0:0:0:0:0:1", ["::1"]),
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
    ],
)
def test_every_form_of_an_address_can_be_listened_on(host: str, reachable: list[str]) -> None:
    """IPv6 used to be refused, and the port was blamed."""
    listeners = listen(place(host))
    try:
        port = listeners[0].getsockname()[1]
        assert {port} == {listener.getsockname()[1] for listener in listeners}
        assert [True] * len(reachable) == [reached(address, port) for address in reachable]
    finally:
        for listener in listeners:
            listener.close()


def test_a_name_with_addresses_of_both_kinds_is_reached_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` on most machines: a client may try either first. An address of another machine is passed over."""
    kinds = [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))]
    kinds += [(socket.AF_INET6, ("::1", 0, 0, 0))]
    answers = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in kinds]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    first, second = listen(place("both"))
    with closing(first), closing(second):
        assert first.getsockname()[1] == second.getsockname()[1]
        assert (socket.AF_INET, socket.AF_INET6) == (first.family, second.family)


@pytest.mark.parametrize(
    ("host", "beginning"),
    [
        ("192.0.2.7", "setting worker.health_host is '192.0.2.7', which is not an address of this machine ("),
        ("2001:db8::1", "setting worker.health_host is '2001:db8::1', which is not an address of this machine ("),
        ("[2001:db8::1]", "setting worker.health_host is '[2001:db8::1]', which is not an address of this machine ("),
        ("nobody.invalid", "setting worker.health_host is 'nobody.invalid', which is neither an address nor a known "),
        ("127.0.0.1:80", "setting worker.health_host is '127.0.0.1:80', which is neither an address nor a known "),
        ("http://localhost", "setting worker.health_host is 'http://localhost', which is neither an address nor a "),
        ("300.1.1.1", "setting worker.health_host is '300.1.1.1', which is neither an address nor a known host"),
        (":::", "setting worker.health_host is ':::', which is neither an address nor a known host"),
        ("a" * 300, "setting worker.health_host is 'aaa"),
        ("fe80::1", "setting worker.health_host is 'fe80::1', which is not an address of this machine ("),
        ("a\0b", "setting worker.health_host is 'a\\x00b', which is neither"),
    ],
)
def test_a_host_that_cannot_be_listened_on_is_blamed_itself(host: str, beginning: str) -> None:
    """The message names the host's setting, its value and an alternative."""
    with pytest.raises(SettingsError) as caught:
        listen(place(host))
    assert str(caught.value).startswith(beginning)
    assert str(caught.value).endswith(": name 127.0.0.1 or ::1 for this machine alone, 0.0.0.0 or :: for every address")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "localhost"])
def test_a_port_that_is_taken_is_blamed_itself(host: str, taken: int) -> None:
    """With the host, for it may be free on another."""
    with pytest.raises(SettingsError) as caught:
        listen(place(host, taken))
    assert str(caught.value) == (
        f"setting worker.health_port is {taken}, on {host}: another program has taken it: choose another, or 0 for a "
        "free one"
    )


def test_a_port_for_which_the_user_has_no_right_is_blamed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 1024 it takes a right."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(SettingsError, match=r"is 80, on 127\.0\.0\.1: this user may not listen there: choose a port "):
        listen(place("127.0.0.1", 80))


def test_a_failure_leaves_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two addresses was free, the second was not."""
    port = free_port()
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with closing(socket.create_server(("::1", port), family=socket.AF_INET6)):
        open_files = len(list(FDS.iterdir()))
        with pytest.raises(SettingsError, match="has taken it"):
            listen(place("both", port))
        assert open_files == len(list(FDS.iterdir()))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8088"),
        ("0.0.0.0", "http://127.0.0.1:8088"),  # noqa: S104 - compared
        ("", "http://127.0.0.1:8088"),
        ("::", "http://[::1]:8088"),
        ("[::1]", "http://[::1]:8088"),
        ("::1", "http://[::1]:8088"),
        ("plant.example", "http://plant.example:8088"),
    ],
)
def test_the_url_is_one_that_a_browser_opens(host: str, url: str) -> None:
    """An IPv6 address needs brackets; a browser cannot open the address that means every address."""
    assert url == url_of(host, 8088)


def test_only_whole_brackets_are_taken_off() -> None:
    """Everything else is the user's mistake, and is shown as it is."""
    assert ["::1", "[::1", "::1]", ""] == [unbracketed(host) for host in ("[::1]", "[::1", "::1]", "")]
