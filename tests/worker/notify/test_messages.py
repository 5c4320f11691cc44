"""The bodies of messages, and where and with which headers they are sent."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.patience import until
from tests.harness.processes import run_command
from tests.harness.servers.ports import free_port
from tests.harness.servers.tls import HOST, make_authority, sign
from tests.worker.notify.harness import CLOSED, DRIP, GARBAGE, HANG, Inbox
from tidecast.errors import SettingsError
from tidecast.settings import NotifySettings, load_settings
from tidecast.wire import Event
from worker.notify.messages import body_of, kinds_posted
from worker.notify.receiver import LOGIN, WATCH, DeliveryError, Receiver

MS = 1_700_000_000_000
BEGAN, ENDED, NOW = "2023-11-14T22:13:20Z", "2023-11-14T22:18:20Z", "2023-11-14T23:13:20Z"
FAR = "2023-12-14T23:13:20Z"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """The receiver of the messages."""
    with Inbox() as running:
        yield running


def alerts(*events: Event, namespace: str = "") -> list[dict[str, Any]]:
    """Return the alerts of events, sent an hour after the first."""
    made: list[dict[str, Any]] = json.loads(body_of("alertmanager", events, namespace, MS + 3_600_000))
    return made


def event(kind: str, **facts: str | float) -> Event:
    """Return an event of one pump."""
    return Event(kind, "a sentence", "pump-1", id=f"{MS + 300_000}-0", facts=facts)


@pytest.mark.parametrize(
    ("begins", "ends", "name"),
    [
        (event("stuck", ts=MS), event("unstuck", ts=MS + 300_000, since=MS), "TidecastStuck"),
        (event("silent", ts=MS), event("back", ts=MS + 300_000, since=MS), "TidecastSilent"),
        (
            event("anomaly", ts=MS, phase="begins"),
            event("anomaly", ts=MS + 300_000, since=MS, phase="ends"),
            "TidecastAnomaly",
        ),
    ],
)
def test_an_alert_lasts_until_the_event_that_ends_it(begins: Event, ends: Event, name: str) -> None:
    """Alertmanager knows an alert by its labels; without an end it would drop it after some minutes."""
    first, second = alerts(begins, ends, namespace="north")
    labels = {"alertname": name, "severity": "warning", "series": "pump-1", "tidecast_namespace": "north"}
    assert labels == first["labels"] == second["labels"]
    assert (BEGAN, FAR) == (first["startsAt"], first["endsAt"])
    assert (BEGAN, ENDED) == (second["startsAt"], second["endsAt"])
    assert "a sentence" == first["annotations"]["summary"]


@pytest.mark.parametrize("kind", ["series_deleted", "series_expired", "series_renamed"])
def test_a_series_that_is_gone_leaves_no_alert_behind(kind: str) -> None:
    """A renamed one is gone under its old name."""
    facts = {"old": "pump-0", "new": "pump-1"} if kind == "series_renamed" else {}
    made = alerts(event(kind, **facts))
    assert {"TidecastAnomaly", "TidecastStuck", "TidecastSilent"} == {each["labels"]["alertname"] for each in made}
    assert {"pump-0" if facts else "pump-1"} == {each["labels"]["series"] for each in made}
    assert {ENDED} == {each["endsAt"] for each in made}


def test_an_event_that_does_not_last_has_no_end_of_its_own() -> None:
    """Alertmanager's own time after which an alert is resolved applies; facts are annotations."""
    [made] = alerts(event("level_changed", ts=MS, old=1.0, new=2.5))
    assert ("TidecastLevelChanged", BEGAN) == (made["labels"]["alertname"], made["startsAt"])
    assert "endsAt" not in made
    assert ("1.0", "2.5") == (made["annotations"]["old"], made["annotations"]["new"])


def test_alerts_can_end_although_only_their_beginnings_were_asked_for() -> None:
    """The plain form gets no further kinds."""
    assert {"stuck"} == kinds_posted("plain", ("stuck",))
    ends = {"stuck", "unstuck", "series_deleted", "series_expired", "series_renamed"}
    assert ends == kinds_posted("alertmanager", ("stuck",))
    assert {"drift"} == kinds_posted("alertmanager", ("drift",))


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"token": "s3cret"}, "Authorization", "Bearer s3cret"),
        ({"user": "me:p%40ss@"}, "Authorization", "Basic bWU6cEBzcw=="),
        ({"headers": ["X-Key: s3cret"]}, "X-Key", "s3cret"),
        ({}, "Content-Type", "application/json"),
    ],
)
def test_secrets_are_sent_as_headers(inbox: Inbox, settings: dict[str, Any], header: str, value: str) -> None:
    """A token, a user and a password in the address, or headers of any name."""
    url = f"http://{settings.pop('user', '')}{inbox.address}/hook/abc?d=1"
    Receiver(NotifySettings(url=url, **settings)).post(b'{"events": []}')
    assert value == inbox.heads[0][header]
    assert ["/hook/abc?d=1"] == inbox.paths


def test_alertmanager_has_a_path_of_its_own(inbox: Inbox) -> None:
    """Its address alone is enough."""
    Receiver(NotifySettings(url=f"http://{inbox.address}", format="alertmanager")).post(b"[]")
    assert ["/api/v2/alerts"] == inbox.paths


@pytest.mark.parametrize("answer", [401, 301, 99, HANG])
def test_no_failure_shows_a_secret(inbox: Inbox, answer: int) -> None:
    """The path of the address is one too: everyone who knows it can post."""
    inbox.answers.append(answer)
    settings = NotifySettings(
        url=f"http://me:hunter2@{inbox.address}/hook/hunter2",
        token="hunter2",  # noqa: S106 - made up
        headers=["X-Key: hunter2"],
        timeout=0.2,
    )
    assert "hunter2" not in repr(settings)
    with pytest.raises(DeliveryError) as failure:
        Receiver(settings).post(b'{"events": []}')
    assert inbox.address in str(failure.value)
    assert "hunter2" not in f"{failure.value} {failure.value!r} {failure.value.__cause__}"


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (301, "set notify.url to the address that it redirects to"),
        (401, "check the user and the password in notify.url, notify.token or notify.headers"),
        (404, "check the path of notify.url"),
        (429, "lower notify.rate"),
        (GARBAGE, "check the scheme and the port of notify.url"),
        (CLOSED, "it closed the connection without an answer"),
    ],
)
def test_a_failure_that_a_setting_causes_names_it(inbox: Inbox, answer: int, remedy: str) -> None:
    """A redirection is not followed: the next address would receive the token."""
    inbox.answers.append(answer)
    with pytest.raises(DeliveryError, match=f": {remedy}$"):
        Receiver(NotifySettings(url=f"http://{inbox.address}/")).post(b'{"events": []}')
    assert 1 == len(inbox.heads)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("https://{inbox}/", "if it does not use TLS on this port, begin notify.url with http://"),
        ("http://127.0.0.1:{free}/", "start the receiver, or check the host and the port of notify.url"),
        ("http://no-such-host.invalid/", "check the host of notify.url"),
    ],
)
def test_a_receiver_that_cannot_be_reached_has_a_remedy(inbox: Inbox, url: str, remedy: str) -> None:
    """The words of the system or of OpenSSL name no setting."""
    with pytest.raises(DeliveryError, match=f": {remedy}$"):
        Receiver(NotifySettings(url=url.format(inbox=inbox.address, free=free_port()))).post(b"[]")


def test_a_certificate_that_is_not_trusted_has_a_remedy(tmp_path: Path) -> None:
    """The variable that names an authority is Python's own, so the settings do not list it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sign(make_authority(tmp_path, "stranger"), HOST))
    with Inbox(context) as inbox, pytest.raises(DeliveryError, match="name its authority in SSL_CERT_FILE"):
        Receiver(NotifySettings(url=f"https://{inbox.address}/")).post(b"[]")


def test_a_slow_look_up_of_the_host_does_not_end_the_time_limit(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up before there is a connection: a receiver that sends for ever must not hold the notifier."""
    inbox.answers.append(DRIP)
    look_up = socket.getaddrinfo

    def look_up_slowly(*args: Any, **named: Any) -> Any:
        until(lambda: WATCH not in {thread.name for thread in threading.enumerate()})
        return look_up(*args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    with pytest.raises(DeliveryError, match=r"no answer within 0\.1 s"):
        Receiver(NotifySettings(url=f"http://{inbox.address}/", timeout=0.1)).post(b'{"events": []}')


@pytest.mark.parametrize(
    "notify",
    [
        {"url": "hunter2"},
        {"url": "ftp://a/hunter2"},
        {"url": "http:///hunter2"},
        {"url": "http://a:99999/hunter2"},
        {"url": "http://a/hunter2\n"},
        {"url": "http://a", "token": "hunter2\n"},
        {"url": "http://a", "headers": ["hunter2"]},
        {"url": "http://a", "headers": ["X-Key: hunter2", "Y: é"]},
        {"url": "http://a", "headers": "hunter2"},
        {"url": 7},
    ],
)
def test_a_setting_that_cannot_be_sent_is_refused_without_showing_it(notify: dict[str, Any]) -> None:
    """At the start, not when the first event should be posted."""
    with pytest.raises(SettingsError, match=r"notify\.(url|token|headers)") as failure:
        load_settings(notify=notify)
    assert "hunter2" not in f"{failure.value}"


def test_a_test_message_is_posted_on_demand(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To check the address without waiting for a fault; a failure is exit code 1."""
    assert 2 == run_command("notify", "--test")
    assert "setting notify.url is empty: set the address" in capsys.readouterr().err
    monkeypatch.setenv("TIDECAST_NOTIFY__URL", f"http://{inbox.address}/hunter2")
    assert 0 == run_command("notify", "--test", "--json")
    assert {"delivered": True, "to": f"http://{inbox.address}"} == json.loads(capsys.readouterr().out)
    assert inbox.details() == ["this is a test: `tidecast notify` reaches this address"]
    inbox.answers.append(403)
    assert 1 == run_command("notify", "--test")
    assert f"tidecast: http://{inbox.address} answers 403 Forbidden: {LOGIN}\n" == capsys.readouterr().err
    monkeypatch.setenv("TIDECAST_NOTIFY__KINDS", '["struck"]')
    assert 2 == run_command("notify", "--test")
    assert "did you mean 'stuck'?" in capsys.readouterr().err
