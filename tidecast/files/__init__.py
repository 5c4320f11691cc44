"""Read files of readings: CSV (gzip too) and Parquet, for every command that takes a file."""
