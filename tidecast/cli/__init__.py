"""The `tidecast` command line."""
