"""`tidecast dead`: print the readings that could not be answered, and push them again."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidecast.cli.exit_codes import SOME_REFUSED
from tidecast.cli.options import CountOption, JsonOption, StreamOptions
from tidecast.cli.times import since_id
from tidecast.errors import SettingsError
from tidecast.log_lines import plain
from tidecast.moments import utc_text
from tidecast.wire import DeadLetter, id_pair

if TYPE_CHECKING:
    from tidecast.client import Client

SHORTEST_BLOCK_MS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterOptions:
    """Which dead letters to print or to push again."""

    series: Annotated[
        list[str] | None,
        typer.Option(help="Only readings of this series, or of a pattern such as 'boiler-*'; repeat it for more."),
    ] = None
    reason: Annotated[
        list[str] | None, typer.Option(help="Only dead letters of this reason, such as bad_value; repeat it for more.")
    ] = None
    since: Annotated[
        str, typer.Option(help="Start at: 1h (ago), 2026-03-01, 2026-03-01T12:00Z, an entry id, or 0 (the oldest).")
    ] = "0"
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more (Ctrl+C to stop).")] = False
    count: CountOption = None

    def letters(self, client: "Client") -> Iterator[DeadLetter]:
        """Yield the chosen dead letters.

        Raises:
            SettingsError: an option is invalid.
        """
        letters = client.dead(
            since_id(self.since),
            reasons=self.reason,
            series=self.series,
            block_ms=SHORTEST_BLOCK_MS,
            stop_when_idle=not self.follow,
        )
        return islice(letters, self.count)


def dead(
    *,
    chosen: LetterOptions,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="Push these readings again, each once, after a correction.")
    ] = False,
    as_json: JsonOption = False,
    streams: StreamOptions,
) -> None:
    """Print the dead letters: readings that could not be answered, with the reason and the remedy."""
    from tidecast.tools.requeue import requeued_ids

    if requeue and chosen.follow:
        raise SettingsError("--requeue and --follow exclude each other: leave out one of them")
    settings = streams.settings()
    with streams.client() as client:
        letters = chosen.letters(client)
        if requeue:
            _requeue(settings, list(letters), as_json=as_json)
            return
        pushed = requeued_ids(settings)
        for letter in letters:
            again = pushed.get(letter.id)
            print(json.dumps(_flat(letter, again)) if as_json else _line(letter, again), flush=True)


def _requeue(settings: Any, letters: list[DeadLetter], *, as_json: bool) -> None:
    from tidecast.tools.requeue import RESULTS, requeue

    results = requeue(settings, letters)
    if as_json:
        print(json.dumps({name: results[name] for name in RESULTS}))
    else:
        print(f"readings pushed again: {results['requeued']}; pushed again before: {results['before']}")
        if results["cut"]:
            print(f"readings not pushed, because their fields were cut: {results['cut']}; push them from their source")
        if results["elsewhere"]:
            print(f"readings not pushed, of another partition: {results['elsewhere']}; push them there")
        if results["known"]:
            print(f"entries of known values not pushed: {results['known']}; push them again with `push_known`")
    if results["cut"] or results["elsewhere"] or results["known"]:
        raise typer.Exit(SOME_REFUSED)


def _flat(letter: DeadLetter, again: str | None) -> dict[str, Any]:
    """Return a dead letter for JSON; bytes that are not UTF-8 are escaped."""
    fields = {_text(name): _text(value) for name, value in letter.fields.items()}
    return {"id": letter.id, "reason": letter.reason, "detail": letter.detail, "fields": fields, "requeued": again}


def _line(letter: DeadLetter, again: str | None) -> str:
    arrived = utc_text(id_pair(letter.id)[0])
    requeued = f"  (pushed again as {again})" if again else ""
    return (
        f"{arrived}  {letter.id}  {plain(letter.series) or '(no series)'}  {letter.reason}: {letter.detail}{requeued}"
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
