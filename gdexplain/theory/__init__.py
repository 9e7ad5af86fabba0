"""What calculus predicts before anything is run: rates, limits and noise, from data or a Hessian. NumPy only."""

from gdexplain.theory.noise import expected_squared_error as expected_squared_error
from gdexplain.theory.noise import gradient_covariance as gradient_covariance
from gdexplain.theory.noise import gradient_noise_scale as gradient_noise_scale
from gdexplain.theory.noise import minibatch_gradient_variance as minibatch_gradient_variance
from gdexplain.theory.noise import stationary_covariance as stationary_covariance
from gdexplain.theory.quadratic import contraction_rate as contraction_rate
from gdexplain.theory.quadratic import line_hessian as line_hessian
from gdexplain.theory.quadratic import max_stable_learning_rate as max_stable_learning_rate
from gdexplain.theory.quadratic import optimal_learning_rate as optimal_learning_rate
from gdexplain.theory.quadratic import optimal_momentum as optimal_momentum
from gdexplain.theory.stochastic import cyclic_contraction_rate as cyclic_contraction_rate
from gdexplain.theory.stochastic import max_stable_sgd_learning_rate as max_stable_sgd_learning_rate
