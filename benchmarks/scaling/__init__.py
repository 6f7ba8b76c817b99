"""How SagaFlow scales: with what is in flight, with workers, with long sagas, with what is in the store; its parts."""
