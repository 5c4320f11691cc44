"""Check the address of Redis, `redis_url`, and return the part that redis-py gets.

redis-py lets an address overrule settings of a program, reads a database that is not a number as 0, and joins the
digits of `/1/2` to 12. So options that would change how Tidecast talks to Redis are refused by name, and the rest is
checked.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from tidecast.errors import SettingsError

FEWEST_CONNECTIONS = 8  # a worker reads, commits and retrains at the same time
SCHEMES = ("redis", "rediss", "unix")
LARGEST_PORT = 65_535
FORM = "write it as redis://:password@host:port/db"
_BEHIND_ADDRESS = re.compile("[/?#]")
_DATABASE = re.compile(r"[0-9]{1,9}")
_TIME_LIMIT = "set redis_timeout"
_CHECKED = "certificates are always checked; name your own authority's in redis_ca"
_AUTHORITY = "set redis_ca"
_REPEATED = "no command is repeated, since its reply may be lost after it was executed"

# Options that the code depends on: the values that change nothing, and the remedy for all others.
_OURS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "protocol": ("2", "replies are read as RESP2"),
        "legacy_responses": ("true|yes|1", "replies are read as RESP2"),
        "decode_responses": ("false|no|0", "replies are read as bytes"),
        "encoding": ("utf-?8", "texts are UTF-8"),
        "encoding_errors": ("strict", "texts are UTF-8"),
        "health_check_interval": ("[0-9]+", "write a number"),  # not needed: every read shows that Redis is alive
        "retry_on_timeout": ("false|no|0", _REPEATED),
        "retry_on_error": ("", _REPEATED),
        "socket_timeout": ("", _TIME_LIMIT),
        "socket_connect_timeout": ("", _TIME_LIMIT),
        "timeout": ("", _TIME_LIMIT),
        "lib_name": (".*", ""),  # the library's own name is sent
        "lib_version": (".*", ""),
        "ssl_cert_reqs": ("", _CHECKED),
        "ssl_check_hostname": ("", _CHECKED),
        "ssl_ca_certs": ("", _AUTHORITY),
        "ssl_ca_path": ("", _AUTHORITY),
        "ssl_ca_data": ("", _AUTHORITY),
    }
)


def _as_number(least: int) -> Callable[[str], str]:
    def problem(value: str) -> str:
        return "" if _DATABASE.fullmatch(value) and int(value) >= least else f"write a whole number, {least} or more"

    return problem


def _as_name(value: str) -> str:
    return "" if re.fullmatch(r"[!-~]+", value) else "write it without spaces, in ASCII"


def _as_file(value: str) -> str:
    return "" if Path(value).is_file() else f"{value} is not a file: name one"


def _as_anything(_value: str) -> str:
    return ""


# Options that are passed on; each check returns the problem of a value, or an empty text.
_HARMLESS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "db": _as_number(0),
        "username": _as_anything,
        "password": _as_anything,
        "client_name": _as_name,
        "max_connections": _as_number(FEWEST_CONNECTIONS),
        "socket_keepalive": _as_anything,
        "ssl_certfile": _as_file,
        "ssl_keyfile": _as_file,
        "ssl_password": _as_anything,
        "ssl_ciphers": _as_anything,
    }
)


def usable_url(url: str) -> str:
    """Return the address for redis-py, without the options that Tidecast sets itself.

    The error shows neither the user nor the password nor the values of options.

    Raises:
        SettingsError: the text is not an address, or has a part that is not allowed.
    """
    parts = _split(url)
    options = _options(parts)
    _check_database(parts, options.get("db"))
    bare = url.partition("#")[0].partition("?")[0]
    return f"{bare}?{urlencode(options)}" if options else bare


def _split(url: str) -> SplitResult:
    _, *behind = _BEHIND_ADDRESS.split(url.partition("://")[2], maxsplit=1)
    # The part before such a sign would be read as the host or the port, and appear in every message.
    if not url.startswith("unix:") and "@" in "".join(behind):
        raise SettingsError("setting redis_url has a / ? or # before an @: write them in a password as %2F, %3F, %23")
    if not url.startswith(tuple(f"{name}://" for name in SCHEMES)):
        raise SettingsError(f"setting redis_url is not an address, {_why_no_address(url)}: {FORM}")
    try:
        parts = urlsplit(url)
        port = parts.port  # urlsplit checks the port only here
    except ValueError:
        raise SettingsError(f"setting redis_url is not an address, {_why_no_address(url)}: {FORM}") from None
    if port == 0:  # redis-py would use its default port
        raise SettingsError(f"setting redis_url names port 0: {FORM}")
    if parts.fragment:
        raise SettingsError("setting redis_url has a #: leave out what follows, or write it in a password as %23")
    return parts


def _options(parts: SplitResult) -> dict[str, str]:
    """Return the options that are passed on; empty ones are left out."""
    kept: dict[str, str] = {}
    for name, value in parse_qsl(parts.query):
        if name in kept:
            raise SettingsError(f"setting redis_url has the option {name} twice: leave one out")
        if name in _OURS:
            neutral, remedy = _OURS[name]
            if not re.fullmatch(neutral, value, re.IGNORECASE):
                raise SettingsError(f"setting redis_url has the option {name}: leave it out, {remedy}")
            continue
        if name not in _HARMLESS:
            shown = f"option {name}, which" if re.fullmatch(r"[a-z_]{1,40}", name) else "option that"
            raise SettingsError(f"setting redis_url has an {shown} Tidecast does not know: leave it out")
        if problem := _HARMLESS[name](value):
            raise SettingsError(f"setting redis_url has a wrong value for the option {name}: {problem}")
        if name.startswith("ssl_") and parts.scheme != "rediss":
            raise SettingsError(f"setting redis_url has the option {name}, but no TLS: begin it with rediss://")
        kept[name] = value
    return kept


def _check_database(parts: SplitResult, option: str | None) -> None:
    path = "" if parts.scheme == "unix" else unquote(parts.path).strip("/")
    if "//" in parts.path or (path and not _DATABASE.fullmatch(path)):
        raise SettingsError(
            f"setting redis_url names the database {path[:40]!r}, which is not a number: end it with one, such as /0"
        )
    if path and option and int(path) != int(option):
        raise SettingsError(f"setting redis_url names two databases, {path} and {option}: leave one out")


def _why_no_address(url: str) -> str:
    """Return why a URL cannot be read, without quoting it: any part may be the password."""
    scheme, sign, rest = url.partition("://")
    if not sign or scheme not in SCHEMES:
        return f"it does not begin with {', '.join(f'{name}://' for name in SCHEMES)} or redis+sentinel://"
    place = rest.partition("/")[0].rpartition("@")[2]
    if place.count(":") > 1 and not place.startswith("["):
        return "an IPv6 address needs brackets, as in redis://[::1]:6379/0"
    port = place.rpartition(":")[2]
    if ":" in place and not (port.isdecimal() and int(port) <= LARGEST_PORT):
        return f"the port is not a number up to {LARGEST_PORT}"
    return "it is not a URL"
