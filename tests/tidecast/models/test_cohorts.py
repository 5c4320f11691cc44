"""The cohort of a series: the same in training, in retraining and in service."""

from tidecast.models.cohorts import Cohort, by_cohort, nearest_cohort

SECOND = Cohort.new("value", 1000.0)
NEAR = Cohort.new("value", 1018.0)
OTHER = Cohort.new("temp", 1000.0)
COHORTS = [NEAR, OTHER, SECOND]


def test_a_series_belongs_to_the_nearest_cohort_of_its_target_within_a_hundredth() -> None:
    """The order of the cohorts has no effect, and a shorter step counts like a longer one."""
    for cohorts in (COHORTS, COHORTS[::-1]):
        steps = (1000.0, 1008.9, 1009.1, 990.0, 989.0, 1028.0, 1029.0)
        nearest = [nearest_cohort("value", step, cohorts) for step in steps]
        assert [SECOND, SECOND, NEAR, SECOND, None, NEAR, None] == nearest
        assert nearest_cohort("temp", 1000.0, cohorts) is OTHER
        assert nearest_cohort("wind", 1000.0, cohorts) is None


def test_series_join_a_known_cohort_or_begin_a_new_one() -> None:
    """A known cohort keeps series on both sides of its step; each new one is named after its shortest step."""
    series = [("value", step) for step in (1007.0, 993.0, 60_300.0, 60_000.0)] + [("temp", 1007.0)]
    groups = by_cohort(series, lambda member: member, [SECOND])
    assert groups == {
        Cohort("temp every 1.007 s", "temp", 1007.0): [("temp", 1007.0)],
        SECOND: [("value", 993.0), ("value", 1007.0)],
        Cohort("value every 60 s", "value", 60_000.0): [("value", 60_000.0), ("value", 60_300.0)],
    }
