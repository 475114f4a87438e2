"""Counters of the module's own among the gateway's metrics.

A module that imports this is built with MILLRACE_GRANTS=counter and is loaded only where the task grants it: grants = ["counter"].
"""

from wit_world.imports import counter as _counter


def count(name: str, by: int = 1) -> None:
    """Adds to a counter, made at its first use; `name`: 1 to 64 of a-z 0-9 _."""
    _counter.add(name, by)
