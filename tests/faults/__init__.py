"""Real faults on real servers and processes, while hundreds of sagas are in flight: scripts that print their figures.

    python -m tests.faults                       # what there is
    python -m tests.faults kill-one --times 3    # one scenario, three times on each of its grounds

A scenario is a small async function in the file of its theme. It brings a crowd of sagas and a fleet of worker
processes together on one ground (a SQLite file, or RabbitMQ and MongoDB), does harm, and returns the verdict: every
saga against a ledger that the handlers keep outside, as a well-made service does.
"""
