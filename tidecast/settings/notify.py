"""The settings of notifications; no message of an error shows an address or a token."""

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from tidecast.settings.groups import Group
from tidecast.settings.values import Duration, as_written


class NotifySettings(Group):
    """The settings of `tidecast notify`: which events it posts, where and how often."""

    url: SecretStr = Field(
        SecretStr(""),
        description="Where events are posted: http:// or https://, with a user and a password if needed. "
        "Empty: nowhere.",
    )
    format: Literal["plain", "alertmanager"] = Field(
        "plain", description="The form of a message: plain, or alerts of Alertmanager's API v2."
    )
    kinds: tuple[str, ...] = Field(
        ("anomaly", "stuck", "unstuck", "silent", "back", "level_changed", "model_degraded"),
        description="The kinds of events that are posted.",
    )
    group_wait: Duration = Field(
        as_written("5s"), ge=0, le=3600, description="How long an event waits for others to go into the same message."
    )
    rate: int = Field(30, ge=1, le=6000, description="How many messages are posted in a minute at most.")
    timeout: Duration = Field(as_written("10s"), ge=0.1, le=300, description="How long the receiver may take.")
    token: SecretStr = Field(SecretStr(""), description="Sent as `Authorization: Bearer …`.")
    headers: tuple[SecretStr, ...] = Field((), description='Further headers, such as ["X-Key: abc"].')

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, url: SecretStr) -> SecretStr:
        """Refuse an address that nothing can be posted to; the message must not show it."""
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if text and not (usable and text.isascii() and text.isprintable() and " " not in text):
            raise ValueError("write http:// or https:// and a host, such as http://alertmanager:9093")
        return url

    @field_validator("token", "headers")
    @classmethod
    def _fits_a_header(cls, value: Any) -> Any:
        """Refuse text that HTTP cannot send, here and not in an error that shows it."""
        texts = [each.get_secret_value() for each in (value if isinstance(value, tuple) else (value,))]
        if not all(text.isascii() and (text.isprintable() or not text) for text in texts):
            raise ValueError("use printable ASCII characters")
        if isinstance(value, tuple) and not all(re.fullmatch(r"[!-9;-~]+:.*", text) for text in texts):
            raise ValueError('write "Name: value" for each header')
        return value
