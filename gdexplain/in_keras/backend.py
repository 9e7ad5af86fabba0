"""What the Keras side shares: the backend's check, and how models and optimizers are named in a record."""

from __future__ import annotations

import contextlib
import functools
import platform
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import gdexplain
from gdexplain.record import Layout

OTHER_WEIGHTS = (
    "optimizer must be a new one for these weights: {!r} was built for other ones (of another model, or before a layer was "
    "unfrozen)."
)
NOTHING_TO_TRAIN = (
    "model must have a trainable weight, but all are frozen or there are none: set trainable = True for a layer."
)

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


def check_start(model: keras.Model) -> None:
    """Refuse to start from weights that are not finite, as a run that diverged may have left them."""
    for variable in model.trainable_variables:
        if not np.all(np.isfinite(np.asarray(variable.numpy(), record_dtype(model)))):
            raise ValueError(
                f"model must start from finite weights, but {variable.path!r} has NaN or inf, as after a run that "
                "diverged: build the model again, or set its weights."
            )


def label(optimizer: Any) -> str:
    """Name an optimizer by its class, its rate, and each option that is not Keras' default; this never fails."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return f"{type(optimizer).__name__}({label(optimizer.inner_optimizer)})"
    default = _default_options(type(optimizer))  # type: ignore[arg-type]  # a class can be hashed
    try:
        options = dict(optimizer.get_config())
    except Exception:  # noqa: BLE001  # an optimizer or a schedule of the user's own may have no configuration
        options = {name: getattr(optimizer, name, value) for name, value in default.items()}
    rate = getattr(optimizer, "_learning_rate", options.get("learning_rate"))  # the public name would call a function
    said = {name: _said(value) for name, value in options.items() if name not in ("name", "learning_rate")}
    parts = [f"{name}={value}" for name, value in said.items() if name not in default or value != _said(default[name])]
    return f"{type(optimizer).__name__}({', '.join([_said(rate), *parts])})"


@functools.cache
def _default_options(kind: Any) -> dict[str, Any]:
    """Return the options of an optimizer made without arguments: of its class, or of the first that it is made of."""
    for each in kind.__mro__:
        with contextlib.suppress(Exception):  # it asks for arguments, or is no optimizer
            return dict(each().get_config())
    return {}


def _said(value: Any) -> str:
    """Say a value in a few words: a number of any library as a number, a function or a schedule by its name."""
    with contextlib.suppress(Exception):
        if isinstance(value, str | None):
            return repr(value)
        if isinstance(value, Mapping) or callable(value):
            own = value.get("class_name") if isinstance(value, Mapping) else getattr(value, "__name__", None)
            return str(own or type(value).__name__)
        number = np.asarray(value).item()
        return f"{number:.6g}" if isinstance(number, float) else repr(number)
    return type(value).__name__


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
