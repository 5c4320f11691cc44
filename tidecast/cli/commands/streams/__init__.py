"""Commands on the streams in Redis and on the files that readings come from and go to."""
