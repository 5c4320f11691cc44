"""The number of partitions changes while everything is killed."""
