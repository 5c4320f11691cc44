"""The `tidecast` command, one file for each subcommand."""
