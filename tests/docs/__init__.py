"""What the documentation says is so: its programs run, its names exist, its links lead somewhere."""
