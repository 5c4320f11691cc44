"""Scheduled retraining: due times, the child process, and the job state in Redis."""
