"""Data sets, and the order in which their rows are used: who is in which batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import (
    finite_array,
    flag,
    keep,
    number_array,
    positive_int,
    real,
    refused,
    room,
    row_numbers,
    seed_of,
    text,
)


@dataclass(frozen=True, eq=False)
class Dataset:
    r"""Inputs and targets, one example a row; checked once, then read-only.

    Parameters
    ----------
    inputs : array_like, shape (N, D) or (N,)
        One example a row, kept as float64; (N,) becomes a column (N, 1).
    targets : array_like, shape (N, K) or (N,)
        Real targets, kept as float64 of shape (N, K); or whole numbers of at least 0 of shape (N,), such as class
        labels, kept as int64. Real targets of shape (N,) become a column (N, 1), so that they never broadcast against
        predictions (N, 1).
    name : str
        What a legend or a record calls this data.

    Raises
    ------
    TypeError
        If an array is not one of real numbers (dates, text, masked and complex numbers are not), or `name` not text.
    ValueError
        If a value is NaN or infinite, if there is no row, if `inputs` has more axes, or if the rows of the two disagree.

    Examples
    --------
    >>> from gdexplain import Dataset
    >>> data = Dataset([[1], [2], [3]], [2.0, 4.0, 6.0], name="y = 2x")
    >>> data
    Dataset('y = 2x': inputs (3, 1), targets (3, 1))
    >>> len(data)
    3
    """

    inputs: NDArray[np.float64]
    targets: NDArray[Any]
    name: str = "data"

    def __post_init__(self) -> None:
        """Check both arrays and freeze them."""
        inputs = finite_array("inputs", self.inputs, booleans=True)
        inputs = inputs[:, np.newaxis] if inputs.ndim == 1 else inputs
        if inputs.ndim != 2:
            raise ValueError(f"inputs must have shape (N, D) or (N,), not {inputs.shape}.")
        if inputs.size == 0:
            raise ValueError(f"inputs must have at least one row and one column, not shape {inputs.shape}.")
        targets = _as_targets(self.targets)
        if len(inputs) != len(targets):
            raise ValueError(f"inputs and targets must have as many rows, not {len(inputs)} and {len(targets)}.")
        keep(self, inputs=inputs, targets=targets, name=text("name", self.name))

    def __len__(self) -> int:
        """Return the number of examples N."""
        return len(self.inputs)

    def __repr__(self) -> str:
        """Return the name and the two shapes."""
        return f"Dataset({self.name!r}: inputs {self.inputs.shape}, targets {self.targets.shape})"

    @property
    def target_column(self) -> NDArray[np.float64]:
        """The one target of each example as a real number, shape (N,); whole numbers too."""
        if self.targets.ndim == 2 and self.targets.shape[1] != 1:
            raise ValueError(f"dataset must have one target a row, shape (N, 1), not targets of {self.targets.shape}.")
        return self.targets.reshape(len(self)).astype(np.float64, copy=False)

    def take(self, rows: ArrayLike) -> Dataset:
        """Return the data set of the given rows, in the order given.

        Parameters
        ----------
        rows : array_like of int, shape (M,)
            Row numbers from 0 to N - 1, at least one; a row may be named more than once.

        Returns
        -------
        Dataset
            M examples, with this data set's name.

        Raises
        ------
        TypeError, ValueError
            If `rows` is not a list of row numbers, or one of them does not exist.
        """
        index = row_numbers("rows", rows, len(self))
        return Dataset(self.inputs[index], self.targets[index], self.name)


Data: TypeAlias = Dataset | tuple[Any, Any]  # what a function takes: a data set, or a pair (inputs, targets)


def as_dataset(dataset: Any) -> Dataset:
    """Return a data set, or a pair (inputs, targets) as one.

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        The examples.

    Returns
    -------
    Dataset
        The same, checked.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or the arrays are not as `Dataset` wants them.

    Examples
    --------
    >>> from gdexplain.data import as_dataset
    >>> as_dataset(([[1], [2], [3], [4]], [2, 4, 6, 8]))
    Dataset('data': inputs (4, 1), targets (4,))
    """
    if isinstance(dataset, Dataset):
        return dataset
    if not isinstance(dataset, tuple | list) or len(dataset) != 2:
        raise refused(TypeError, "dataset", "a Dataset or a pair (inputs, targets)", dataset)
    try:
        return Dataset(*dataset)
    except (TypeError, ValueError) as error:
        raise type(error)(f"dataset must be a pair (inputs, targets) that makes a Dataset: {error}") from error


def line_columns(dataset: Data) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of data that a line can be fitted to.

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        One input and one target an example.

    Returns
    -------
    x, y : ndarray, shape (N,)
        The inputs and the targets.

    Raises
    ------
    TypeError, ValueError
        If there are several inputs or targets an example.

    Examples
    --------
    >>> from gdexplain.data import line_columns, make_line
    >>> line_columns(make_line())[1]
    array([2., 4., 6., 8.])
    """
    data = as_dataset(dataset)
    if data.inputs.shape[1] != 1 or data.targets.shape[1:] not in ((), (1,)):
        raise ValueError(f"dataset must have one input and one target an example, not {data!r}.")
    return data.inputs[:, 0], data.target_column


def _as_targets(targets: ArrayLike) -> NDArray[Any]:
    """Keep vectors of whole numbers that can be labels; make everything else float64 of shape (N, K)."""
    array = number_array("targets", targets, booleans=True)
    if array.ndim == 1 and array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() < 2**63:
        return array.astype(np.int64)
    if array.ndim not in (1, 2):
        raise ValueError(f"targets must have shape (N, K) or (N,), not {array.shape}.")
    numbers = finite_array("targets", array, booleans=True)
    return numbers[:, np.newaxis] if numbers.ndim == 1 else numbers


def make_line(n: int = 4, *, slope: float = 2.0, intercept: float = 0.0, noise: float = 0.0, seed: int = 0) -> Dataset:
    r"""Make points on a line, x = 1, 2, ..., n; the notebook's data by default.

    .. math:: y_i = \text{slope}\, x_i + \text{intercept} + \text{noise}\, \xi_i,
              \qquad \xi_i \sim \mathcal N(0, 1)

    Parameters
    ----------
    n : int
        How many points.
    slope, intercept : float
        The line.
    noise : float
        Standard deviation of the Gaussian noise added to the targets, in units of y.
    seed : int
        Seed of the noise.

    Returns
    -------
    Dataset
        Inputs (n, 1) and targets (n, 1).

    Raises
    ------
    TypeError, ValueError
        If `n` or `seed` is not a whole number, or too small; if `noise` is negative, or a target leaves float64.

    Examples
    --------
    >>> from gdexplain import make_line
    >>> make_line().targets.ravel().tolist()
    [2.0, 4.0, 6.0, 8.0]
    """
    n = positive_int("n", n)
    room("n", 8 * n)
    slope, intercept = real("slope", slope), real("intercept", intercept)
    noise = real("noise", noise, at_least=0)
    inputs = np.arange(1.0, n + 1)[:, np.newaxis]
    xi = np.random.default_rng(seed_of("seed", seed)).standard_normal(inputs.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused in words
        targets = slope * inputs + intercept + noise * xi
    if not np.all(np.isfinite(targets)):
        raise ValueError(f"slope, intercept and noise must keep y finite, not {slope:g}, {intercept:g}, {noise:g}.")
    name = f"y = {slope:g}x" + (f" {intercept:+g}" if intercept else "") + (", noisy" if noise else "")
    return Dataset(inputs, targets, name)


def make_moons(n: int = 200, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Make two interleaved half circles with labels 0 and 1: a problem that no line separates.

    Parameters
    ----------
    n : int
        How many points in all; the first half (rounded up) belongs to the upper moon.
    noise : float
        Standard deviation of the Gaussian noise added to both coordinates.
    seed : int
        Seed of the noise.

    Returns
    -------
    Dataset
        Inputs (n, 2) and int labels (n,).

    Raises
    ------
    TypeError, ValueError
        If `n` or `seed` is not a whole number, or too small; or if `noise` is negative or too large for float64.

    Examples
    --------
    >>> from gdexplain import make_moons
    >>> make_moons(6).targets.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    n, noise = positive_int("n", n, at_least=2), real("noise", noise, at_least=0, below=1e300)
    room("n", 8 * n)
    upper, lower = np.linspace(0, np.pi, n - n // 2), np.linspace(0, np.pi, n // 2)
    points = np.concatenate([np.c_[np.cos(upper), np.sin(upper)], np.c_[1 - np.cos(lower), 0.5 - np.sin(lower)]])
    labels = np.repeat([0, 1], [len(upper), len(lower)])
    points += noise * np.random.default_rng(seed_of("seed", seed)).standard_normal(points.shape)
    return Dataset(points, labels, "two moons")


def load_digits() -> Dataset:
    """Load the 1,797 handwritten digits that scikit-learn carries, pixels scaled to 0 to 1.

    Returns
    -------
    Dataset
        Inputs (1797, 64), one 8 x 8 image a row; int labels (1797,) from 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed (the extra ``gdexplain[data]``).

    References
    ----------
    .. [1] E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository,
       1998. :doi:`10.24432/C50P49`
    """
    try:
        import sklearn.datasets
    except ImportError as error:
        raise ImportError("The digits come with scikit-learn: pip install 'gdexplain[data]'.") from error
    bunch = sklearn.datasets.load_digits()
    return Dataset(bunch.data / 16.0, bunch.target, "digits")


def batch_order(
    n: int, batch_size: int | None, epochs: int, *, seed: int = 0, shuffle: bool = True
) -> list[NDArray[np.int64]]:
    """Say which rows each update uses: every row once an epoch, the last batch of an epoch perhaps short.

    Parameters
    ----------
    n : int
        How many examples there are.
    batch_size : int or None
        How many examples an update sees, from 1 to `n`; None for all of them.
    epochs : int
        How many passes over the data.
    seed : int
        Seed of the shuffling.
    shuffle : bool
        Draw a new order each epoch, without replacement; if False, use rows 0, 1, ..., n - 1.

    Returns
    -------
    list of ndarray of int, one an update
        ``epochs * ceil(n / batch_size)`` arrays of row numbers.

    Raises
    ------
    TypeError, ValueError
        If `n`, `batch_size`, `epochs` or `seed` is not a whole number, or too small; if `batch_size` is above `n`; or
        if `shuffle` is not True or False.

    Notes
    -----
    The order depends on the seed only, not on the batch size: two runs with one seed and two batch sizes walk the
    same sequence of examples, cut at different places.

    Examples
    --------
    >>> from gdexplain import batch_order
    >>> [rows.tolist() for rows in batch_order(4, 3, 2, shuffle=False)]
    [[0, 1, 2], [3], [0, 1, 2], [3]]
    """
    batches = batches_in_order(n, batch_size, epochs, seed=seed, shuffle=shuffle)
    room("n and epochs", int(epochs) * (int(n) + 16 * -(-int(n) // int(batch_size or n))))
    return list(batches)


def batches_in_order(
    n: int, batch_size: int | None, epochs: int, *, seed: int = 0, shuffle: bool = True
) -> Iterator[NDArray[np.int64]]:
    """Draw the batches of `batch_order` one epoch after the other, so that no more than one is held at a time."""
    n, epochs = positive_int("n", n), positive_int("epochs", epochs)
    width = n if batch_size is None else positive_int("batch_size", batch_size, at_most=n)
    rng, shuffle = np.random.default_rng(seed_of("seed", seed)), flag("shuffle", shuffle)

    def epoch() -> Iterator[NDArray[np.int64]]:
        rows = rng.permutation(n) if shuffle else np.arange(n)
        return (rows[first : first + width] for first in range(0, n, width))

    return itertools.chain.from_iterable(epoch() for _ in range(epochs))
