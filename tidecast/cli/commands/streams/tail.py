"""`tidecast tail`: print new forecasts as they are made."""

from tidecast.cli.options import CountOption, FollowOption, JsonOption, StreamOptions
from tidecast.cli.times import since_id


def tail(
    *, since: FollowOption = "$", count: CountOption = None, as_json: JsonOption = False, streams: StreamOptions
) -> None:
    """Print new forecasts as they are made (Ctrl+C to stop)."""
    from tidecast.tools.tail import follow

    after = since_id(since)
    with streams.client() as client:
        follow(client.forecasts(after), count, as_json=as_json)
