"""Everything that pictures on web pages and in files have in common: colours, order, names and captions."""
