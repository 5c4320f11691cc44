"""The `tidecast` command: run a subcommand, and print its error as one sentence."""

import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from redis.exceptions import RedisError, ResponseError

from tidecast import __version__
from tidecast.cli.command_group import CommandGroup
from tidecast.cli.exit_codes import FAILED, INTERRUPTED, MISUSED
from tidecast.cli.standard_streams import open_standard_streams
from tidecast.cli.usage import is_usage_error, usage_sentence
from tidecast.errors import SettingsError, TidecastError
from tidecast.settings.unset import without_empty_options

TRAINER_PACKAGES = ("keras", "keras_tuner", "matplotlib", "pandas", "psutil", "pyarrow", "tensorflow")

app = typer.Typer(
    cls=CommandGroup,
    help="Forecast the next reading of thousands of series, from Redis streams and back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Forecast the next reading of thousands of series, from Redis streams and back."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command; print an error that the user can correct as one sentence, not as a traceback."""
    open_standard_streams()
    try:
        sys.exit(_run())
    except SettingsError as exc:
        _fail(str(exc), MISUSED)
    except TidecastError as exc:
        _fail(str(exc), FAILED)
    except ModuleNotFoundError as exc:
        if exc.name not in TRAINER_PACKAGES:
            raise
        _fail(f"{exc.name} is not installed: pip install 'tidecast[train]'", FAILED)
    except RedisError as exc:
        _fail(_redis_sentence(exc), FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has closed the pipe, as in `tidecast tail | head`
        sys.stdout = None  # otherwise Python would flush into the broken pipe and print an error
        sys.exit(0)
    except UnicodeEncodeError as exc:  # only the command line can contain text that is not Unicode
        _fail(f"{exc.object!r} is not UTF-8: write it in UTF-8", MISUSED)
    except OSError as exc:  # a file or folder, or standard output on a full disk
        where = f"{exc.filename}: " if exc.filename else ""
        _fail(f"{where}{exc.strerror or exc}: correct this, and run the command again", FAILED)


def _redis_sentence(exc: RedisError) -> str:
    from tidecast import connection

    refused = isinstance(exc, ResponseError)
    remedy = "run `tidecast doctor` to find the cause" if refused else "start it, or give another address with --redis"
    return f"Redis: {connection.explain(exc, remedy)}"


def _run() -> int:
    """Run the command and return its exit code."""
    words = _words()
    try:
        code = app(args=words, prog_name="tidecast", standalone_mode=False)
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # Typer and Rich turn it into an exit with code 1
            raise exc.__context__ from None
        raise
    except Exception as exc:
        if not is_usage_error(exc):
            raise
        if type(exc).__name__ == "NoArgsIsHelpError":  # the help was printed
            return MISUSED
        _fail(usage_sentence(exc, words), MISUSED)
    sys.stdout.flush()  # raises now if the output cannot be written
    return code if isinstance(code, int) else 0


def _words() -> list[str]:
    """Return the words of the command line without empty options, such as `--namespace "${NAMESPACE:-}"`."""
    words = sys.argv[1:]
    if any(word == "" or word.endswith("=") for word in words):
        return without_empty_options(typer.main.get_command(app), words)
    return words


def _fail(sentence: str, code: int) -> NoReturn:
    """Exit with a sentence on standard error; if it cannot be written, only with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with suppress(OSError, ValueError):
        print(f"tidecast: {sentence}", file=sys.stderr)
    _abandon_unwritable()
    sys.exit(code)


def _abandon_unwritable() -> None:
    """Drop streams that cannot be written: at exit Python would try again, and change the exit code."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
