"""The page and the API, by clients and in a real browser."""
