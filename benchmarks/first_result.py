"""How long the first call of `train` takes in a new process, after the imports: tracing, compiling and training."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import harness

PROGRAM = """
import time, keras
from gdexplain import train
from benchmarks import tasks
task = tasks.{task}()
data, model, loss = (task.x, task.y), task.model(), task.keras_loss()
start = time.perf_counter()
options = dict(batch_size=task.batch_size, epochs=task.epochs, shuffle=False, jit={jit})
train(model, data, optimizer=keras.optimizers.SGD(task.learning_rate), loss=loss, **options)
print(time.perf_counter() - start)
"""


def first_results(*, rounds=3):
    """Return the times of the first call by task and way, each from processes of its own."""
    table = {}
    for task in ("neuron", "digits"):
        table[task] = {
            name: harness.summary([_first(task, jit) for _ in range(rounds)])
            for name, jit in (("train", False), ("train, with XLA", True))
        }
    return table


def _first(task, jit):
    program = PROGRAM.format(task=task, jit=jit)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])
