"""`tidecast tail`: print new forecasts as they are made."""

from typing import Annotated

import typer

from tidecast.cli.options import FollowOption, JsonOption, NamespaceOption, RedisOption, since_id


def tail(
    since: FollowOption = "$",
    count: Annotated[int | None, typer.Option("-n", help="Exit after this many.", min=1)] = None,
    as_json: JsonOption = False,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Print new forecasts as they are made (Ctrl+C to stop)."""
    from tidecast.client import Client
    from tidecast.tools.tail import follow

    after = since_id(since)
    with Client(redis, namespace=namespace) as client:
        follow(client.forecasts(after), count, as_json=as_json)
