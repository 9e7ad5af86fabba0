"""How gradient descent and backpropagation work, measured in Keras.

Every name below is loaded when it is first used, so ``import gdexplain`` is instant: it loads no NumPy, no Keras and
no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "backprop": ["BackpropTrace", "numerical_gradient", "trace_backprop"],
    "callback": ["RecordTrajectory"],
    "data": ["Dataset", "batch_order", "load_diabetes", "load_digits", "make_line", "make_moons"],
    "descent": ["descend"],
    "gradient_check": ["GradientReport", "check_gradients"],
    "in_keras.diagnose": ["Diagnosis", "Finding", "NotFinite", "diagnose"],
    "landscape": [
        "Plane",
        "Slice",
        "batch_gradients",
        "evaluate",
        "example_gradients",
        "line_loss",
        "loss_along",
        "pca_plane",
    ],
    "models": ["KerasObjective", "as_layers", "build_linear", "build_mlp", "keras_gradient", "sharpness"],
    "network": ["Dense"],
    "objectives": [
        "Beale",
        "Himmelblau",
        "LeastSquares",
        "NoisyQuadratic",
        "Objective",
        "Quadratic",
        "Rastrigin",
        "Rosenbrock",
    ],
    "plotting": [
        "Look",
        "animate_descent",
        "draw_data",
        "draw_descent",
        "draw_fits",
        "draw_gradient_noise",
        "draw_loss",
        "draw_loss_surface",
        "draw_map",
        "draw_minimum",
        "draw_path",
        "look_of",
        "use_style",
    ],
    "sweeping": ["sweep"],
    "theory": [
        "OptimalMomentum",
        "box_dimension",
        "contraction_rate",
        "cyclic_contraction_rate",
        "deep_linear_half_time",
        "deep_linear_mode",
        "expected_squared_error",
        "gradient_covariance",
        "gradient_descent_trajectory",
        "gradient_noise_scale",
        "initialization_gain",
        "line_hessian",
        "max_stable_learning_rate",
        "max_stable_sgd_learning_rate",
        "mean_square_rate",
        "minibatch_gradient_variance",
        "momentum_contraction_rate",
        "noise_floor",
        "optimal_learning_rate",
        "optimal_momentum",
        "reshuffled_covariance",
        "stationary_covariance",
    ],
    "training": ["train"],
    "trajectory": ["Sweep", "Trajectory"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604  # the names are strings, in a table

if TYPE_CHECKING:  # what a type checker and an editor see
    from gdexplain.backprop import BackpropTrace as BackpropTrace
    from gdexplain.backprop import numerical_gradient as numerical_gradient
    from gdexplain.backprop import trace_backprop as trace_backprop
    from gdexplain.callback import RecordTrajectory as RecordTrajectory
    from gdexplain.data import Dataset as Dataset
    from gdexplain.data import batch_order as batch_order
    from gdexplain.data import load_diabetes as load_diabetes
    from gdexplain.data import load_digits as load_digits
    from gdexplain.data import make_line as make_line
    from gdexplain.data import make_moons as make_moons
    from gdexplain.descent import descend as descend
    from gdexplain.gradient_check import GradientReport as GradientReport
    from gdexplain.gradient_check import check_gradients as check_gradients
    from gdexplain.in_keras.diagnose import Diagnosis as Diagnosis
    from gdexplain.in_keras.diagnose import Finding as Finding
    from gdexplain.in_keras.diagnose import NotFinite as NotFinite
    from gdexplain.in_keras.diagnose import diagnose as diagnose
    from gdexplain.landscape import Plane as Plane
    from gdexplain.landscape import Slice as Slice
    from gdexplain.landscape import batch_gradients as batch_gradients
    from gdexplain.landscape import evaluate as evaluate
    from gdexplain.landscape import example_gradients as example_gradients
    from gdexplain.landscape import line_loss as line_loss
    from gdexplain.landscape import loss_along as loss_along
    from gdexplain.landscape import pca_plane as pca_plane
    from gdexplain.models import KerasObjective as KerasObjective
    from gdexplain.models import as_layers as as_layers
    from gdexplain.models import build_linear as build_linear
    from gdexplain.models import build_mlp as build_mlp
    from gdexplain.models import keras_gradient as keras_gradient
    from gdexplain.models import sharpness as sharpness
    from gdexplain.network import Dense as Dense
    from gdexplain.objectives import Beale as Beale
    from gdexplain.objectives import Himmelblau as Himmelblau
    from gdexplain.objectives import LeastSquares as LeastSquares
    from gdexplain.objectives import NoisyQuadratic as NoisyQuadratic
    from gdexplain.objectives import Objective as Objective
    from gdexplain.objectives import Quadratic as Quadratic
    from gdexplain.objectives import Rastrigin as Rastrigin
    from gdexplain.objectives import Rosenbrock as Rosenbrock
    from gdexplain.plotting import Look as Look
    from gdexplain.plotting import animate_descent as animate_descent
    from gdexplain.plotting import draw_data as draw_data
    from gdexplain.plotting import draw_descent as draw_descent
    from gdexplain.plotting import draw_fits as draw_fits
    from gdexplain.plotting import draw_gradient_noise as draw_gradient_noise
    from gdexplain.plotting import draw_loss as draw_loss
    from gdexplain.plotting import draw_loss_surface as draw_loss_surface
    from gdexplain.plotting import draw_map as draw_map
    from gdexplain.plotting import draw_minimum as draw_minimum
    from gdexplain.plotting import draw_path as draw_path
    from gdexplain.plotting import look_of as look_of
    from gdexplain.plotting import use_style as use_style
    from gdexplain.sweeping import sweep as sweep
    from gdexplain.theory import OptimalMomentum as OptimalMomentum
    from gdexplain.theory import box_dimension as box_dimension
    from gdexplain.theory import contraction_rate as contraction_rate
    from gdexplain.theory import cyclic_contraction_rate as cyclic_contraction_rate
    from gdexplain.theory import deep_linear_half_time as deep_linear_half_time
    from gdexplain.theory import deep_linear_mode as deep_linear_mode
    from gdexplain.theory import expected_squared_error as expected_squared_error
    from gdexplain.theory import gradient_covariance as gradient_covariance
    from gdexplain.theory import gradient_descent_trajectory as gradient_descent_trajectory
    from gdexplain.theory import gradient_noise_scale as gradient_noise_scale
    from gdexplain.theory import initialization_gain as initialization_gain
    from gdexplain.theory import line_hessian as line_hessian
    from gdexplain.theory import max_stable_learning_rate as max_stable_learning_rate
    from gdexplain.theory import max_stable_sgd_learning_rate as max_stable_sgd_learning_rate
    from gdexplain.theory import mean_square_rate as mean_square_rate
    from gdexplain.theory import minibatch_gradient_variance as minibatch_gradient_variance
    from gdexplain.theory import momentum_contraction_rate as momentum_contraction_rate
    from gdexplain.theory import noise_floor as noise_floor
    from gdexplain.theory import optimal_learning_rate as optimal_learning_rate
    from gdexplain.theory import optimal_momentum as optimal_momentum
    from gdexplain.theory import reshuffled_covariance as reshuffled_covariance
    from gdexplain.theory import stationary_covariance as stationary_covariance
    from gdexplain.training import train as train
    from gdexplain.trajectory import Sweep as Sweep
    from gdexplain.trajectory import Trajectory as Trajectory


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
