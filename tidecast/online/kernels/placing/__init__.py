"""The compiled loops that put readings into windows, and the profiles of seasons too long for a window."""
