"""The `tune` command: reads files and prints a table of trials and the chosen spec."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tidecast.errors import HistoryError
from tidecast.files.history import History
from tidecast.files.refusal import print_notes, print_refused
from tidecast.log import begin_log
from tidecast.models.metrics import skill
from tidecast.outputs import check_folder
from tidecast.progress import progress
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from trainer.data.source import Source, read_source
from trainer.tuning.tune import Trained, Trial, Tuned, tune

SHOWN = 12  # trials in the table; --json prints all


def run(source: Source, series: str | None, epochs: int, settings: Settings, *, as_json: bool) -> None:
    """Tune on one series of the source, by default the longest, and print the trials and the chosen spec.

    Raises:
        SettingsError: the store cannot be written to.
        HistoryError: a file cannot be read, or the series is not in it.
        TidecastError: the series is not suitable for a search.
    """
    begin_log(settings.log_level, settings.log_format)
    check_folder("the store", settings.store)
    histories = read_source(source, settings)
    print_notes(histories.notes)
    print_refused(histories.refused)
    history = _choose(histories.accepted, series)
    with progress(f"searching on {history.series}", "trials") as report_trials:
        tuned, trials = tune(history, settings, epochs, report_trials)
    if as_json:
        rows = ",".join(trial.model_dump_json() for trial in trials)
        print(f'{{"tuned": {tuned.model_dump_json()}, "trials": [{rows}]}}')  # noqa: T201 - the answer
    else:
        _show(tuned, trials)


def _choose(histories: Sequence[History], series: str | None) -> History:
    candidates = [history for history in histories if series in (None, history.series)]
    if not candidates:
        if not histories or series is None:
            raise HistoryError("no series can be used: `tidecast train --dry-run` gives the reasons")
        raise HistoryError(
            f"series {series!r} is not in the history: {did_you_mean(series, [h.series for h in histories])}"
        )
    return max(candidates, key=len)


def _show(tuned: Tuned, trials: Sequence[Trial]) -> None:
    console = Console()
    table = Table("window", "units", "layers", "both ways", "activation", "learning rate", "epochs", "validation loss")
    for trial in trials[:SHOWN]:
        table.add_row(*_shape(trial), f"{trial.learning_rate:.2g}", str(trial.epochs), f"{trial.val_loss:.5f}")
    console.print(table)
    console.print(f"{len(trials)} trials. Trained in full, with the tail's figures, which chose nothing:")
    final = Table("", "window", "units", "layers", "both ways", "activation", "validation loss", "tail MAE", "skill")
    for name, trained in (("default", tuned.default), ("chosen", tuned.chosen)):
        gain = skill(trained.tail_mae, trained.tail_mae_last_value)
        final.add_row(name, *_shape(trained), f"{trained.val_loss:.5f}", f"{trained.tail_mae:.5g}", f"{gain:.3f}")
    console.print(final)
    console.print("`tidecast train` uses the chosen one from now on, unless you name another shape.")


def _shape(found: Trial | Trained) -> tuple[str, ...]:
    spec = found.spec
    both = "yes" if spec.bidirectional else ""
    return str(spec.window), str(spec.units), str(spec.layers), both, spec.activation
