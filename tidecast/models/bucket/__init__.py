"""A copy of the model store in a bucket of object storage, for machines that do not share a file system."""
