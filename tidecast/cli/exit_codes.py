"""The exit codes of the commands; 0 is success."""

FAILED = 1
MISUSED = 2
SOME_REFUSED = 3  # some series or readings were left out, each with a line that gives the reason
INTERRUPTED = 130
