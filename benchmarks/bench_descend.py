"""How long `descend` takes for 1,000 full-batch updates of the notebook's neuron, rule by rule.

Run it by hand: ``python benchmarks/bench_descend.py``. It prints the best of 20 runs; nothing asserts it.
"""

from __future__ import annotations

import timeit
from functools import partial

from gdexplain import make_line, rules
from gdexplain.descent import descend
from gdexplain.objectives import LeastSquares

RULES = [
    rules.gradient_descent(0.01),
    rules.momentum(0.01),
    rules.momentum(0.01, nesterov=True),
    rules.adagrad(0.01),
    rules.rmsprop(0.01),
    rules.adadelta(1.0),
    rules.adam(0.01),
    rules.amsgrad(0.01),
    rules.nadam(0.01),
    rules.adamw(0.01),
    rules.lion(0.01),
]


def main() -> None:
    """Print one line a rule: milliseconds for 1,000 updates."""
    objective = LeastSquares(make_line())
    for rule in RULES:
        run = partial(descend, objective, rule, [0.0, 0.0], steps=1000)
        seconds = timeit.repeat(run, number=1, repeat=20)
        print(f"{1000 * min(seconds):6.2f} ms  {rule.name}")  # a benchmark prints


if __name__ == "__main__":
    main()
