"""Stores, brokers and codecs. Drivers are imported here and nowhere else, and each only when it is wanted."""
