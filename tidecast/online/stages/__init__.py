"""The stages of a batch: its entries are parsed, placed in windows, scored and published."""
