"""Faults seeded into a healthy installation: the doctor finds each, alone, and names its remedy."""

import time

import pytest

from tests.harness.installation import Installation
from tests.tidecast.doctor.faults import FAULTS, Fault
from tests.tidecast.doctor.schedule_faults import overdue
from tests.tidecast.doctor.server_faults import full_disk, mended_disk
from tests.tidecast.doctor.stream_faults import lost, trimmed
from tidecast.doctor import server
from tidecast.doctor.examination import examine
from tidecast.settings import RetrainSettings


def test_of_a_healthy_installation_nothing_is_found(healthy: Installation) -> None:
    """Otherwise the findings would not be trusted."""
    assert [] == healthy.examine()


@pytest.mark.parametrize(("fault", "check", "severity", "remedy"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_a_fault_is_found_alone_with_its_remedy(
    healthy: Installation, fault: Fault, check: str, severity: str, remedy: str
) -> None:
    """One finding, no other."""
    sick = fault(healthy) or healthy
    findings = sick.examine()
    if fault is full_disk:
        mended_disk(healthy)
    assert [(check, severity)] == [(finding.check, finding.severity) for finding in findings]
    assert remedy in findings[0].remedy


def test_why_nobody_retrains_is_found_where_it_is_seen(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the training packages and without a run in Redis: install them, or run the schedule elsewhere."""
    monkeypatch.setattr("tidecast.schedule_choice.find_spec", lambda _name: None)
    healthy.redis.delete("retrain")
    (finding,) = healthy.told(retrain=RetrainSettings()).examine()
    assert ("schedule", "warning") == (finding.check, finding.severity)
    assert "no models are retrained (retrain is empty): the training packages are not installed" in finding.problem
    assert finding.remedy.startswith("pip install 'tidecast[train]', or run the schedule elsewhere")


def test_who_retrains_elsewhere_or_never_hears_nothing(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that another program keeps is as good as one's own, and "never" is a decision."""
    monkeypatch.setattr("tidecast.schedule_choice.find_spec", lambda _name: None)
    assert [] == healthy.told(retrain=RetrainSettings()).examine()
    healthy.redis.delete("retrain")
    assert [] == healthy.told(retrain=RetrainSettings(every="never")).examine()


def test_a_late_run_is_found_whoever_keeps_the_schedule(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine where one looks need not be able to train."""
    monkeypatch.setattr("tidecast.schedule_choice.find_spec", lambda _name: None)
    overdue(healthy)
    (finding,) = healthy.told(retrain=RetrainSettings()).examine()
    assert ("schedule", "error") == (finding.check, finding.severity)


@pytest.mark.parametrize(("fault", "expected"), [(trimmed, ["trimmed"]), (lost, ["lost"])])
def test_readings_that_were_trimmed_are_counted(healthy: Installation, fault: Fault, expected: list[str]) -> None:
    """From Redis 7 on, which counts them."""
    fault(healthy)
    counts = "entries-added" in healthy.redis.xinfo_stream("readings")
    findings = healthy.examine()
    assert (expected if counts else []) == [finding.check for finding in findings]
    assert all(finding.problem.endswith(": 1") for finding in findings)
    assert all("keep readings longer" in finding.remedy for finding in findings)


@pytest.mark.parametrize(("skew_s", "severity"), [(10.0, "warning"), (-3600.0, "error")])
def test_clocks_that_disagree_are_found(healthy: Installation, skew_s: float, severity: str) -> None:
    """Ahead or behind."""
    (finding,) = examine(healthy.settings, lambda: time.time() + skew_s)
    assert ("clock", severity) == (finding.check, finding.severity)
    assert f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'}" in finding.problem
    assert "NTP" in finding.remedy


def test_a_redis_that_is_too_old_is_found(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that is needed is named."""
    monkeypatch.setattr(server, "OLDEST", (99, 1))
    (finding,) = healthy.examine()
    assert ("version", "error") == (finding.check, finding.severity)
    assert "upgrade it to 99.1" in finding.remedy
