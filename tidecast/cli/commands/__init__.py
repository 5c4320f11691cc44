"""The commands of `tidecast`, one file for each."""
