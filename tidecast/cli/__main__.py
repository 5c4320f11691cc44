"""Run `python -m tidecast.cli`."""

from tidecast.start import main

if __name__ == "__main__":
    main()
