"""Tests of SagaFlow; they run against real servers, started by ``tests.servers``."""
