"""What nobody may read, forge, or grow without bound: credentials, payloads, certificates, and what users write."""
