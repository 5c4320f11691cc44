"""The dashboard's pages and charts."""
