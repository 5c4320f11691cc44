"""The page of dead letters: the readings that could not be answered, with the reason and the remedy."""

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from urllib.parse import urlencode

from nicegui import events, run, ui
from redis.exceptions import RedisError

from dashboard.data.dead_letters import READ, select, series_of
from dashboard.pages.formats import NOTHING, count_text, series_path, time_text
from dashboard.pages.frame import Context, page
from dashboard.pages.tables import table_html
from tidecast.wire import DeadLetter, id_pair

SHOWN = 100
LONGEST = 200  # characters of the fields of a reading
REFRESH_S = 3.0
ALL = "all reasons"
NONE = '<p class="quiet">No dead letters. Every reading could be answered.</p>'


def dead(context: Context, reason: str, series: str) -> None:
    """Build the page for one viewer, with the filters of the address."""
    with page(context, "Dead letters"), ui.element("section").classes("card"):
        ui.label("Readings that could not be answered").classes("subtitle")
        _List(context, reason, series)


@dataclass(slots=True)
class _Filter:
    reason: str
    series: str
    letters: list[DeadLetter] = field(default_factory=list)


class _List:
    """One viewer's list; dead letters are read on a thread, so that other viewers do not wait."""

    def __init__(self, context: Context, reason: str, series: str) -> None:
        self._context = context
        self._filter = _Filter(reason, series)
        with ui.element("div").classes("tools inset"):
            self._reason = ui.select(
                {"": ALL} | ({reason: reason} if reason else {}), value=reason, on_change=self._by_reason
            )
            self._reason.props('dense outlined options-dense aria-label="Reason"')
            ui.input(placeholder="Search series", value=series, on_change=self._by_series).props(
                'dense outlined clearable debounce=200 aria-label="Series"'
            )
            self._count = ui.label().classes("quiet")
        self._table = ui.html("", sanitize=False)
        ui.timer(REFRESH_S, self._refresh)

    async def _refresh(self) -> None:
        try:
            letters = await run.io_bound(self._context.dead_letters.newest)
        except (RedisError, OSError):
            return  # the banner reports it, and the list stays as it is
        if letters is not None:  # None: the program ends
            self._filter.letters = letters
            self._show()

    def _show(self) -> None:
        selection = self._filter
        counts = Counter(letter.reason for letter in selection.letters)
        if selection.reason:
            counts.setdefault(selection.reason, 0)
        options = {"": ALL} | {reason: f"{reason} {count_text(count)}" for reason, count in counts.most_common()}
        self._reason.set_options(options, value=selection.reason)
        letters = select(selection.letters, selection.reason, selection.series)
        self._count.set_text(_count_sentence(len(letters), len(selection.letters)))
        self._table.set_content(letters_html(letters[:SHOWN]) if letters else "" if selection.letters else NONE)

    def _by_reason(self, event: events.ValueChangeEventArguments[str]) -> None:
        self._change(event.value, self._filter.series)

    def _by_series(self, event: events.ValueChangeEventArguments[str | None]) -> None:
        self._change(self._filter.reason, event.value or "")

    def _change(self, reason: str, series: str) -> None:
        if (reason, series) == (self._filter.reason, self._filter.series):
            return
        self._filter.reason = reason
        self._filter.series = series
        self._show()
        query = {name: value for name, value in (("reason", reason), ("series", series)) if value}
        ui.navigate.history.replace(f"/dead?{urlencode(query)}" if query else "/dead")


def letters_html(letters: list[DeadLetter]) -> str:
    """Return the table of dead letters as HTML."""
    columns = ("time (UTC)", "reason", "series", "reading", "remedy")
    return table_html(columns, [_cells(letter) for letter in letters])


def _cells(letter: DeadLetter) -> list[str]:
    series = series_of(letter)
    return [
        time_text(id_pair(letter.id)[0]),
        f'<span class="badge is-dead-letters">{escape(letter.reason)}</span>',
        f'<a href="{series_path(series)}">{escape(series)}</a>' if series else NOTHING,
        escape(_fields_text(letter)),
        escape(letter.detail),
    ]


def _fields_text(letter: DeadLetter) -> str:
    """Return the fields of the reading without its series, cut to a length."""
    sent = b" ".join(b"%b=%b" % pair for pair in letter.fields.items() if pair[0] != b"series")
    text = sent.decode(errors="backslashreplace")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _count_sentence(matching: int, read: int) -> str:
    shown = f"the newest {SHOWN} of " if matching > SHOWN else ""
    searched = f", of the newest {count_text(READ)} of each partition" if read >= READ else ""
    plural = "" if matching == 1 else "s"
    return f"{shown}{count_text(matching)} dead letter{plural}{searched}" if read else ""
