"""The store in PostgreSQL among the examples, against a real server."""
