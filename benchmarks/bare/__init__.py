"""Scripts without an engine: what the servers, or SQLite, do for sagas at so many writes and messages each."""
