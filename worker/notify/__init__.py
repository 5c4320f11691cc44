"""The process that posts events to a web address, beside the workers."""
