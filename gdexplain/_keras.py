"""What the Keras side shares: the backend's check, and how models and optimizers are named in a record."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import gdexplain
from gdexplain.trajectory import Layout

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"gdexplain trains on Keras' TensorFlow backend, not on {keras.backend.backend()!r}: "
        "set the environment variable KERAS_BACKEND to tensorflow before Keras is imported."
    )


def record_dtype(model: keras.Model) -> str:
    """Return "float64" for a float64 model, else "float32": what data is cast to and records are kept in."""
    variables = model.trainable_variables if model.built else []
    return "float64" if "float64" in {v.dtype for v in variables} | {model.variable_dtype} else "float32"


@contextlib.contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Let Keras compute losses in `dtype`: it takes theirs from this global setting, not from the model."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def parameter_count(model: keras.Model) -> int:
    """Return how many trainable parameters a model has, P."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def flat_parameters(model: keras.Model) -> NDArray[Any]:
    """Return a model's trainable parameters as one row of NumPy, in Keras' weight order."""
    dtype = record_dtype(model)
    return np.concatenate([np.asarray(variable.numpy(), dtype).ravel() for variable in model.trainable_variables])


def layout(model: keras.Model) -> Layout:
    """Name each trainable weight by its path without the model's own name, and say its shape."""
    return tuple(
        (variable.path.removeprefix(f"{model.name}/"), tuple(variable.shape)) for variable in model.trainable_variables
    )


def label(optimizer: keras.optimizers.Optimizer) -> str:
    """Name an optimizer by its class, its rate, and each option that is not Keras' default."""
    config, default = optimizer.get_config(), type(optimizer)().get_config()
    rate = config.pop("learning_rate")
    parts = [rate["class_name"] if isinstance(rate, Mapping) else f"{rate:.6g}"]
    for option, value in config.items():
        if option != "name" and value != default[option]:
            parts.append(f"{option}={value:.6g}" if isinstance(value, float) else f"{option}={value!r}")
    return f"{type(optimizer).__name__}({', '.join(parts)})"


def reason(error: Exception) -> str:
    """Return what a message of Keras or TensorFlow says, without colours, arguments and the way through their files."""
    text = re.sub(
        r"\x1b\[\d+m|\{\{.*?\}\}|\[Op:.*|(Arguments received by|The op is created at|Stack trace)[\s\S]*",
        "",
        str(error),
    )
    return " ".join(text.split())[:400] or type(error).__name__


def versions() -> dict[str, str]:
    """Return the versions that a run's last digits depend on."""
    import tensorflow as tf

    return {
        "gdexplain": gdexplain.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
