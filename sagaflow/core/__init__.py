"""The pure heart of SagaFlow: no asyncio, no clock, no randomness, no logging, no I/O."""
