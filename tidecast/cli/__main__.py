"""Run `python -m tidecast.cli`."""

from tidecast.start import main

main()
