"""Gradient descent in two processes, equal to gradient descent in one.

``python multiworker_descent.py`` starts two workers on this machine, gives each about half of the data, and compares
where they arrive with a single process that has all of it. On a cluster you start the script yourself, once on each
machine, with a ``TF_CONFIG`` like the one that `start` writes.

Keras' ``fit`` does not run under this strategy (keras-team/keras, issue 20585: it hands a value of the strategy to code
that wants a tensor). A loop of your own does.
"""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

from gdexplain import build_linear, make_line, train

DATA = make_line(7, noise=1.0)  # an odd number: the two shares are not equal
RATE, UPDATES = 0.01, 50


def descend_with_the_others():
    """Make every update with the other workers; return this worker's weight and bias."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # finds the others through TF_CONFIG
    rank, workers = strategy.cluster_resolver.task_id, strategy.num_replicas_in_sync
    share = DATA.take(range(rank, len(DATA), workers))
    x, y = (tf.constant(array, tf.float32) for array in (share.inputs, share.targets))
    with strategy.scope():  # what is made here is kept equal on all workers
        model, optimizer = build_linear(), keras.optimizers.SGD(RATE)
        optimizer.build(model.trainable_variables)

    def update():
        with tf.GradientTape() as tape:
            # the sum over this share, divided by the number of examples in all shares
            loss = tf.reduce_sum((model(x) - y) ** 2) / len(DATA)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)  # adds the others' gradients before it steps

    everywhere = tf.function(lambda: strategy.run(update))
    for _ in range(UPDATES):
        everywhere()
    return [float(weight.item()) for weight in model.get_weights()]


def start(rank, addresses):
    """Start one worker: this script again, with its place in the cluster in TF_CONFIG."""
    place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **quiet, "TF_CONFIG": json.dumps(place)}
    return subprocess.Popen([sys.executable, __file__], env=environment, stdout=subprocess.PIPE, text=True)


def free_addresses(count):
    """Return addresses on this machine that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def run_workers(count=2, *, timeout=240):
    """Return the weight and bias of every worker; none is left running, whatever happens."""
    addresses = free_addresses(count)
    workers = [start(rank, addresses) for rank in range(count)]
    try:
        return [json.loads(worker.communicate(timeout=timeout)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()  # does nothing to one that has ended
            worker.communicate()


def main():
    """Run the two workers, then one process with all the data, and compare."""
    workers = run_workers()
    model = build_linear()
    train(model, DATA, optimizer=keras.optimizers.SGD(RATE), batch_size=None, epochs=UPDATES)
    alone = [float(weight.item()) for weight in model.get_weights()]
    for name, (weight, bias) in {"worker 0": workers[0], "worker 1": workers[1], "alone": alone}.items():
        print(f"{name:>8}: weight {weight:.6f}, bias {bias:.6f}")
    assert workers[0] == workers[1]  # to the last bit
    np.testing.assert_allclose(workers[0], alone, rtol=0, atol=1e-6)  # sums in another order: rounding of float32


if __name__ == "__main__":
    if "TF_CONFIG" in os.environ:
        print(json.dumps(descend_with_the_others()))
    else:
        main()
