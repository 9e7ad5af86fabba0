"""How the cost of a recorded run grows with its size."""

from __future__ import annotations

from benchmarks import contestants, harness, sweeps, tasks


def updates(counts=(100, 1_000, 10_000, 100_000), *, rounds=3):
    """Time the compiled loop on one neuron for more and more updates."""
    return _table(counts, tasks.neuron, rounds)


def parameters(widths=(1, 10, 100, 1_000), *, rounds=3):
    """Time one epoch of 20 updates on 640 digits for wider and wider networks: 85 to 75,010 parameters."""
    table = _table(widths, lambda width: tasks.digits(1, width, 640), rounds)
    return {str(75 * int(width) + 10): times for width, times in table.items()}


def runs(counts=(100, 1_000, 10_000, 100_000), *, rounds=3):
    """Time the ways to sweep that make all runs at once, for more and more runs."""
    table = {}
    for count in counts:
        table[str(count)] = harness.race(sweeps.all_at_once(count), rounds=rounds)
    return table


def _table(sizes, task_of, rounds):
    """Race `train` with and without XLA at each size."""
    table = {}
    for size in sizes:
        task = task_of(size)
        ways = {
            "train": contestants.compiled_train(task, jit=False),
            "train, with XLA": contestants.compiled_train(task, jit=True),
        }
        table[str(size)] = harness.race(ways, rounds=rounds)
    return table
