"""Parts of the benchmark `cold_start`."""
