"""Series fall silent and come back while workers are killed, on a virtual clock."""
