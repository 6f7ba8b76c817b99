"""What executes sagas: takes hints and events, decides, commits, calls handlers."""
