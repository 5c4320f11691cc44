"""Events reach a receiver that fails at first, each at least once and in order; the figures are as defined."""

import pytest

from benchmarks.webhook.failing_receiver import FailingReceiver
from tests.benchmarks.measuring import figures_of


@pytest.mark.usefixtures("forked_programs")
def test_every_event_arrives_in_order_and_no_reading_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver fails for a second."""
    small = ("--series", "5", "--rate", "50", "--events", "40", "--fails", "1", "--rounds", "1", "--seconds", "0.4")
    figures = figures_of(capsys, "webhook", *small)
    assert (1, 0, 0) == (figures["delivered_share"], figures["disordered"], figures["lost"])
    assert figures["p99_ratio"] > 0


def test_an_event_that_comes_again_is_not_out_of_order() -> None:
    """Only one that was never there before a later one of its series is."""
    receiver = FailingReceiver(0.0)
    receiver.taken = [("a", 1), ("b", 4), ("a", 2), ("a", 1), ("b", 3)]
    assert 1 == receiver.disordered()
