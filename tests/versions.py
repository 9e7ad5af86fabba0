"""What the oldest parts that `pyproject.toml` allows compute otherwise than the newest."""

import tensorflow as tf

_OLD = tuple(map(int, tf.__version__.split(".")[:2])) < (2, 21)


def rounding(*activations: str) -> float:
    """Return how far Keras' own activations may be off: gelu, where TensorFlow takes its √2 in float32, in float64 too."""
    return 1e-7 if _OLD and "gelu" in activations else 0.0
