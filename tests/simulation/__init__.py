"""The whole engine, several of it, in one thread on a virtual clock, with servers and machines that fail."""
