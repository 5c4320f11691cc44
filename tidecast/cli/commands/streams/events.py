"""`tidecast events`: print new events of series, models and scheduled runs."""

from tidecast.cli.options import CountOption, FollowOption, JsonOption, StreamOptions
from tidecast.cli.times import since_id


def events(
    *, since: FollowOption = "$", count: CountOption = None, as_json: JsonOption = False, streams: StreamOptions
) -> None:
    """Print new events of series, models and scheduled runs (Ctrl+C to stop)."""
    from tidecast.tools.tail import follow_events

    after = since_id(since)
    with streams.client() as client:
        follow_events(client.events(after), count, as_json=as_json)
