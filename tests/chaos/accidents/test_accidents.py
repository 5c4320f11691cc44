"""Short runs of every accident after which data is really gone."""

from pathlib import Path

import pytest

from tests.chaos.accidents.accident import ACCIDENTS, run_accident
from tests.chaos.accidents.readings import make_steady
from tests.chaos.accidents.verdict import Answers, Verdict, judge
from tests.chaos.harness import entry_id
from tidecast.connection.embedded import bundled_server, find_server


@pytest.mark.parametrize("name", ACCIDENTS)
def test_after_an_accident_every_reading_is_answered_once_again(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No restart is needed, and only data that the accident itself has destroyed is lost."""
    choice = request.config.getoption("--redis-server")
    server = {"found": find_server, "bundled": bundled_server}.get(choice, lambda: choice)()
    verdict = run_accident(tmp_path, name, server)
    assert [] == verdict.notes
    assert 0 == verdict.violations()
    assert ACCIDENTS[name].loses == (verdict.lost + verdict.gone > 0)


READINGS = make_steady(8)  # before the first broken one
WHOLE: Answers = [
    (
        "forecasts",
        entry_id(i).encode(),
        {b"series": reading[b"series"], b"origin": reading[b"ts"], b"y": reading[b"value"]},
    )
    for i, reading in enumerate(READINGS)
]


def verdict_of(name: str, met: Answers, published: Answers) -> Verdict:
    """Judge answers to eight readings; the last four came after the accident."""
    verdict = Verdict(len(READINGS))
    judge(verdict, READINGS, 4, met, published, loses=ACCIDENTS[name].loses)
    return verdict


def test_whole_answers_are_no_violation() -> None:
    """Answers that went with an accident that destroys them are allowed too."""
    assert 0 == verdict_of("DEL lease", WHOLE, WHOLE).violations()
    flushed = verdict_of("FLUSHALL", WHOLE, WHOLE[4:])
    assert (4, 0) == (flushed.gone, flushed.violations())
    unread = verdict_of("FLUSHALL", WHOLE[4:], WHOLE[4:])
    assert (4, 0) == (unread.lost, unread.violations())


def test_every_kind_of_violation_is_seen() -> None:
    """A verdict that finds nothing in a broken run would prove nothing in a good one."""
    a, b, *rest = WHOLE
    assert 1 == verdict_of("FLUSHALL", WHOLE, WHOLE[:-1]).missing
    assert 1 == verdict_of("DEL lease", WHOLE, WHOLE[1:]).missing
    assert 1 == verdict_of("DEL lease", [a, *WHOLE], WHOLE).duplicated
    assert 1 == verdict_of("DEL lease", [b, a, *rest], WHOLE).disordered
    another = (a[0], a[1], {**a[2], b"y": b"0"})
    assert 2 == verdict_of("DEL lease", [another, *WHOLE[1:]], WHOLE).wrong_value  # wrong, and not what is there now
    anew = (a[0], a[1], {**a[2], b"yhat": b"0"})
    assert 1 == verdict_of("power cut, appendfsync everysec", WHOLE, [anew, *WHOLE[1:]]).wrong_value
