"""Ways to train and to keep the loss, the parameters and the gradient of every update.

Each takes a `Task` and returns a function without arguments that trains and gives (loss (T,), parameters (T, P),
gradients (T, P)), in NumPy, each row from before its update. What can be compiled and put in place before the clock
starts is. A library that is not installed takes no part.

PyTorch is in no lock: a lock for every platform would hold its CUDA build, gigabytes that nothing here uses. It is
measured where it is installed (``nox -s bench -- --torch`` installs it by pip).
"""

from __future__ import annotations

import importlib.util
import itertools

import keras
import numpy as np
import tensorflow as tf

from gdexplain.in_keras import backend, core, training
from gdexplain.in_keras.ledger import RECORD_BYTES, Ledger


def contestants(task):
    """Return every way that can run here, by the name it has in the table."""
    ways = {
        "fit, a Callback and a second tape": fit_and_callback(task),
        "train_on_batch and a second tape": train_on_batch(task),
        "a tf.function step called from Python": tf_function_step(task),
        "NumPy by hand": numpy_by_hand(task),
        "train": compiled_train(task, jit=False),
        "train, with XLA": compiled_train(task, jit=True),
    }
    if importlib.util.find_spec("torch"):
        ways["a PyTorch loop"] = torch_loop(task)
    if importlib.util.find_spec("jax"):
        ways["JAX, jit and scan"] = jax_scan(task)
    return ways


def check_the_same(task, ways):
    """Make sure that all of them record one and the same run: a fast way to something else wins nothing."""
    records = {name: way() for name, way in ways.items()}
    expected = records["train"]
    for name, record in records.items():
        for kind, values, wanted in zip(("loss", "parameters", "gradients"), record, expected, strict=True):
            np.testing.assert_allclose(
                np.asarray(values), wanted, rtol=1e-3, atol=2e-4, err_msg=f"{task.title}: {kind} of {name}"
            )  # float32, summed in another order in each library


def compiled_train(task, *, jit):
    """The compiled loop of `gdexplain.train`, without the tracing that a call of `train` begins with."""
    order, kinds, optimizer = task.order, ("parameters", "gradients"), keras.optimizers.SGD(task.learning_rate)
    problem = core.pose(task.model(), (task.x, task.y), task.keras_loss(), batch_size=task.batch_size)
    training._compile(problem, optimizer, task.keras_loss(), jit=jit)
    size, widths = backend.parameter_count(problem.model), {len(rows) for rows in order}
    length = training._chunk_length(len(order), task.batch_size, size, len(kinds), 1)
    place, loop = training._compile_loop(problem, widths, kinds, length, 1, jit=jit)
    if in_one_chunk := length == len(order):
        place(order, 0)
    start = backend.flat_parameters(problem.model)

    def run():
        nonlocal start  # in one chunk, the last row of the record: to read a variable takes as long as many updates
        if in_one_chunk:
            _, record = loop()
            before, start = start, record["parameters"][-1]
            return record["loss"], np.vstack([before, record["parameters"][:-1]]), record["gradients"]
        start = backend.flat_parameters(problem.model)
        ledger = Ledger(start, kinds, 1, total=len(order), max_bytes=RECORD_BYTES)
        training._run(place, loop, problem, iter(order), ledger, len(order), length, progress=False)
        whole = ledger.trajectory(start, updates_per_epoch=1, diverged=False, label="")
        return whole.loss, whole.parameters[:-1], whole.gradients

    return run


class Recorder(keras.callbacks.Callback):
    """What one writes to see gradients under `fit`: a second forward and backward pass before each update."""

    def __init__(self, task, loss):
        super().__init__()
        self.batches = [(tf.constant(task.x[rows]), tf.constant(task.y[rows])) for rows in task.order]
        self.loss = loss

    def on_train_begin(self, logs=None):
        self.record = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        x, y = self.batches[len(self.record[0])]
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x))
        _append(self.record, loss, self.model.trainable_variables, tape.gradient(loss, self.model.trainable_variables))


def _append(record, loss, parameters, gradients):
    """Put an update on record, in NumPy."""
    record[0].append(float(loss))
    record[1].append(np.concatenate([part.numpy().ravel() for part in parameters]))
    record[2].append(np.concatenate([part.numpy().ravel() for part in gradients]))


def _stacked(record):
    return tuple(np.array(rows, np.float32) for rows in record)


def fit_and_callback(task):
    model, loss = task.model(), task.keras_loss()
    model.compile(keras.optimizers.SGD(task.learning_rate), loss)
    recorder, x, y, epochs = Recorder(task, loss), task.x, task.y, task.epochs
    if len(task.x) == task.batch_size:  # an epoch costs fit more than an update: let it be one long epoch
        x, y, epochs = np.tile(x, (epochs, 1)), np.tile(y, (epochs, 1)), 1

    def run():
        options = {"batch_size": task.batch_size, "epochs": epochs, "shuffle": False, "verbose": 0}
        model.fit(x, y, callbacks=[recorder], **options)
        return _stacked(recorder.record)

    return run


def train_on_batch(task):
    model, loss = task.model(), task.keras_loss()
    model.compile(keras.optimizers.SGD(task.learning_rate), loss)
    batches = [(task.x[rows], task.y[rows]) for rows in task.order]

    def run():
        record = [], [], []
        for x, y in batches:
            with tf.GradientTape() as tape:
                value = loss(y, model(x))
            _append(record, value, model.trainable_variables, tape.gradient(value, model.trainable_variables))
            model.train_on_batch(x, y)
        return _stacked(record)

    return run


def tf_function_step(task):
    model, loss, optimizer = task.model(), task.keras_loss(), keras.optimizers.SGD(task.learning_rate)
    optimizer.build(model.trainable_variables)
    batches = [(tf.constant(task.x[rows]), tf.constant(task.y[rows])) for rows in task.order]

    @tf.function
    def step(x, y):
        before = [tf.identity(variable) for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value, before, gradients

    def run():
        record = [], [], []
        for x, y in batches:
            _append(record, *step(x, y))
        return _stacked(record)

    return run


def torch_loop(task):
    import torch

    torch.set_num_threads(1)  # more threads only wait for each other in matrices as small as these
    layers = []
    for inputs, outputs in itertools.pairwise(task.units):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    parameters = list(model.parameters())
    with torch.no_grad():
        for parameter, value in zip(parameters, task.start(), strict=True):
            parameter.copy_(torch.from_numpy(value.T.copy()))
    loss = torch.nn.MSELoss() if task.loss == "mse" else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(parameters, lr=task.learning_rate)
    y = task.y if task.loss == "mse" else task.y.astype("int64")
    batches = [(torch.from_numpy(task.x[rows]), torch.from_numpy(y[rows])) for rows in task.order]

    def flat(tensors):  # Keras keeps a kernel as (inputs, outputs)
        return np.concatenate([tensor.detach().numpy().T.ravel() for tensor in tensors])

    def run():
        record = [], [], []
        for x, y in batches:
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            record[0].append(value.item())
            record[1].append(flat(parameters))
            record[2].append(flat([parameter.grad for parameter in parameters]))
            optimizer.step()
        return _stacked(record)

    return run


def jax_scan(task):
    import jax
    import jax.numpy as jnp

    def loss(parameters, x, y):
        *hidden, (kernel, bias) = zip(parameters[::2], parameters[1::2], strict=True)
        for inner, offset in hidden:
            x = jnp.tanh(x @ inner + offset)
        z = x @ kernel + bias
        if task.loss == "mse":
            return jnp.mean((z - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))

    def flat(arrays):
        return jnp.concatenate([array.ravel() for array in arrays])

    def train(parameters, x, y, full, short):
        def step(parameters, rows):
            value, gradients = jax.value_and_grad(loss)(parameters, x[rows], y[rows])
            after = [p - task.learning_rate * g for p, g in zip(parameters, gradients, strict=True)]
            return after, (value, flat(parameters), flat(gradients))

        def epoch(parameters, batches):
            parameters, record = jax.lax.scan(step, parameters, batches[0])
            parameters, last = jax.lax.scan(step, parameters, batches[1])
            return parameters, jax.tree.map(lambda *parts: jnp.concatenate(parts), record, last)

        if short is None:
            return jax.lax.scan(step, parameters, full)
        parameters, record = jax.lax.scan(epoch, parameters, (full, short))
        return parameters, jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:]), record)

    order = task.order
    ragged = len(order[-1]) < len(order[0])
    if ragged:
        epochs = [
            order[first : first + len(order) // task.epochs]
            for first in range(0, len(order), len(order) // task.epochs)
        ]
        full = jnp.asarray(np.array([np.stack(batches[:-1]) for batches in epochs]), jnp.int32)
        short = jnp.asarray(np.array([batches[-1:] for batches in epochs]), jnp.int32)
    else:
        full, short = jnp.asarray(np.stack(order), jnp.int32), None
    compiled = jax.jit(train)
    start, x, y = [jnp.asarray(value) for value in task.start()], jnp.asarray(task.x), jnp.asarray(task.y)

    def run():
        _, record = compiled(start, x, y, full, short)
        return tuple(np.asarray(part) for part in record)

    return run


def numpy_by_hand(task):
    x, y, order, rate = task.x, task.y, task.order, np.float32(task.learning_rate)
    classes = np.eye(task.units[-1], dtype=np.float32)
    total, size = len(order), sum(value.size for value in task.start())

    def head(z, targets):
        """Return the loss, and its derivative by the last layer's output."""
        if task.loss == "mse":
            residual = z - targets
            return np.mean(residual**2), residual * np.float32(2 / residual.size)
        shifted = z - z.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        delta = (exponentials / sums - classes[targets]) / np.float32(len(z))
        return np.mean(np.log(sums[:, 0]) - shifted[np.arange(len(z)), targets]), delta

    def run():
        theta = np.concatenate([value.ravel() for value in task.start()])
        gradient = np.empty_like(theta)
        record = np.empty(total, np.float32), np.empty((total, size), np.float32), np.empty((total, size), np.float32)
        kernels, biases = _views(theta, task.units)
        d_kernels, d_biases = _views(gradient, task.units)
        for k, rows in enumerate(order):
            activations = [x[rows]]
            for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
                activations.append(np.tanh(activations[-1] @ kernel + bias))
            record[0][k], delta = head(activations[-1] @ kernels[-1] + biases[-1], y[rows])
            for place in range(len(kernels) - 1, -1, -1):
                np.matmul(activations[place].T, delta, out=d_kernels[place])
                np.sum(delta, axis=0, out=d_biases[place])
                if place:
                    delta = (delta @ kernels[place].T) * (1 - activations[place] ** 2)
            record[1][k], record[2][k] = theta, gradient
            theta -= rate * gradient
        return record

    return run


def _views(flat, units):
    """Return the kernels and the biases inside a flat row."""
    kernels, biases, first = [], [], 0
    for inputs, outputs in itertools.pairwise(units):
        kernels.append(flat[first : first + inputs * outputs].reshape(inputs, outputs))
        first += inputs * outputs
        biases.append(flat[first : first + outputs])
        first += outputs
    return kernels, biases
