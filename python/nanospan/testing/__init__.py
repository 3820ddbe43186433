"""Tools for testing programs that are traced with nanospan.

`nanospan.testing.strategies` holds Hypothesis strategies and needs `hypothesis`, which nanospan
itself does not depend on; import it by its own name.
"""
