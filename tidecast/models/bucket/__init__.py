"""A copy of the model store in a bucket of object storage, for machines that share no file system."""
