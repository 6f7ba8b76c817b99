"""SagaFlow as a contestant: its sagas, its worker processes, and the scripts that start sagas and see their ends."""
