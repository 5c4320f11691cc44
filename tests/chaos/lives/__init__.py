"""Series that are renamed and deleted while workers are killed."""
