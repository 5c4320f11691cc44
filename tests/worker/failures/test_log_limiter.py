"""A failure that goes on is logged ever more rarely, and never forgotten."""

from worker.failures.log_limiter import MOST, LogLimiter


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Tell them."""
        return self.now


def logged(limiter: LogLimiter, clock: Clock, count: int) -> list[tuple[float, int]]:
    """Return the seconds after which a failure of every second is logged, and how often it had happened by then."""
    began = clock.now
    lines = []
    for _ in range(count):
        if times := limiter.count("away"):
            lines.append((clock.now - began, times))
        clock.now += 1
    return lines


def test_the_first_is_logged_at_once_and_the_others_ever_more_rarely() -> None:
    """A day of failures every second is a few dozen lines, and each failure is counted."""
    clock = Clock()
    lines = logged(LogLimiter(clock), clock, 86_400)
    assert [(0, 1), (5, 5), (15, 10), (35, 20), (75, 40), (155, 80)] == lines[:6]
    assert 600 == lines[-1][0] - lines[-2][0]
    assert len(lines) < 160
    assert sum(times for _, times in lines) > 85_000


def test_another_failure_is_logged_at_once() -> None:
    """It may be the one that matters; both go their own way, though they take turns."""
    clock = Clock()
    limiter = LogLimiter(clock)
    assert [1, 1, 0, 0] == [limiter.count(failure) for failure in ("away", "refused", "away", "refused")]


def test_a_failure_that_comes_back_later_is_new() -> None:
    """After a minute without it, or after its own interval where that is longer."""
    clock = Clock()
    limiter = LogLimiter(clock)
    limiter.count("away")
    clock.now += 61
    assert 1 == limiter.count("away")
    logged(limiter, clock, 400)
    clock.now += 100
    assert 0 == limiter.count("away")
    clock.now += 400
    assert 1 == limiter.count("away")


def test_all_partitions_may_fail_at_once_without_a_flood() -> None:
    """Their messages name their keys, so each counts by itself."""
    clock = Clock()
    limiter = LogLimiter(clock)
    logged_lines = 0
    for _ in range(600):
        logged_lines += sum(limiter.count(f"{{{number}}}:forecasts is full") > 0 for number in range(256))
        clock.now += 1.0
    assert logged_lines <= 10 * 256


def test_failures_that_are_never_equal_take_no_memory_without_end() -> None:
    """As where a message holds a time."""
    clock = Clock()
    limiter = LogLimiter(clock)
    assert [1] * 2 * MOST == [limiter.count(f"failure {number}") for number in range(2 * MOST)]
    assert MOST == len(limiter._seen)
