"""Open listening sockets for a user's address: IPv4, IPv6 or a host name."""

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tidecast.errors import SettingsError

_NOT_OURS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)  # EINVAL: fe80:: without its interface
_EVERYWHERE = "::"
_REMEDY = "name 127.0.0.1 or ::1 for this machine alone, 0.0.0.0 or :: for every address"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on, with the names of its settings for messages.

    Attributes:
        host: an IPv4 or IPv6 address, with or without brackets, or a host name; empty: every address.
        port: the port number; 0: a free port.
        host_setting: the full name of the setting of the host.
        port_setting: the full name of the setting of the port.
    """

    host: str
    port: int
    host_setting: str
    port_setting: str


def listen(requested: ListenAddress) -> list[socket.socket]:
    """Listen on every address of a host, on the same port.

    Raises:
        SettingsError: the host is not an address of this machine, or the port cannot be used.
    """
    host = unbracketed(requested.host)
    port = requested.port
    opened: list[socket.socket] = []
    foreign: OSError | None = None
    with ExitStack() as on_failure:
        for family, address in _addresses(requested, host):
            try:
                listener = _bound(family, (address[0], port, *address[2:]), both=":" in host)
            except OSError as exc:
                if exc.errno not in _NOT_OURS:
                    raise SettingsError(_port_sentence(requested, exc)) from exc
                foreign = exc  # a name may have addresses of both kinds where the machine has one kind
                continue
            opened.append(on_failure.enter_context(listener))
            port = listener.getsockname()[1]
        if foreign and not opened:
            raise SettingsError(
                f"setting {requested.host_setting} is {requested.host!r}, which is not an address of this machine "
                f"({foreign.strerror}): {_REMEDY}"
            ) from foreign
        on_failure.pop_all()
    return opened


def unbracketed(host: str) -> str:
    """Return a host without the brackets that an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def url_of(host: str, port: int) -> str:
    """Return the URL of a listening address for a browser on this machine."""
    bare = unbracketed(host)
    shown = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", _EVERYWHERE: "::1"}.get(bare, bare)  # noqa: S104 - compared
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def _addresses(requested: ListenAddress, host: str) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Return every address of a host, each once."""
    try:
        resolved = socket.getaddrinfo(host or None, requested.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError, OverflowError) as exc:  # an unknown host, or a text that cannot be a name
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise SettingsError(
            f"setting {requested.host_setting} is {requested.host!r}, which is neither an address nor a known host "
            f"({reason}): {_REMEDY}"
        ) from exc
    return list(dict.fromkeys((family, address) for family, _, _, _, address in resolved))


def _bound(family: socket.AddressFamily, address: tuple[Any, ...], *, both: bool) -> socket.socket:
    """Return a listening socket; with `both`, an IPv6 address accepts IPv4 too, as `::` does."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _port_sentence(requested: ListenAddress, exc: OSError) -> str:
    where = f"setting {requested.port_setting} is {requested.port}, on {requested.host}: "
    if exc.errno == errno.EADDRINUSE:
        return f"{where}another program has taken it: choose another, or 0 for a free one"
    if exc.errno == errno.EACCES:
        return f"{where}this user may not listen there: choose a port from 1024 on"
    return f"{where}{exc.strerror}: choose another, or another {requested.host_setting}"
