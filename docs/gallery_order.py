"""The order of the gallery, by hand: sections, and within a section its scripts.

A script or section that exists and is not listed here, or the other way round, fails the build.
"""

ORDER = {
    "backprop": [
        "plot_tape.py",
        "plot_gradient_check.py",
    ],
    "variants": [
        "plot_batch.py",
        "plot_learning_rate.py",
        "plot_feature_scaling.py",
        "plot_stochastic.py",
        "plot_minibatch.py",
        "plot_three_variants.py",
        "plot_descent_animated.py",
        "plot_what_fit_does.py",
        "plot_noise_floor.py",
        "plot_shuffling.py",
        "plot_batch_size_and_rate.py",
        "plot_accumulation.py",
        "plot_data_parallel.py",
        "plot_adam_on_the_notebook.py",
    ],
    "rules": [
        "plot_momentum.py",
        "plot_adam_from_scratch.py",
        "plot_when_adam_fails.py",
        "plot_adamw_is_not_l2.py",
        "plot_schedules.py",
    ],
    "theory": [
        "plot_initialisation.py",
        "plot_network_surface.py",
        "plot_deep_linear.py",
        "plot_edge_of_stability.py",
        "plot_fractal_boundary.py",
    ],
    "practice": [
        "plot_diabetes.py",
        "plot_digits.py",
    ],
    "maps": [
        "plot_map_of_momentum.py",
        "plot_map_of_starts.py",
        "plot_map_of_batches.py",
    ],
}

# Figures that teachers show: section/script_number, then the lecture of docs/teachers.md and what the figure says.
SLIDES = {
    "variants/plot_batch_003": (1, "Training turns the line until it lies on the data"),
    "variants/plot_batch_001": (1, "The same run as a path on the loss surface"),
    "backprop/plot_tape_001": (2, "A graph passes gradients back, each line once"),
    "backprop/plot_gradient_check_001": (2, "A step that is too small spoils a gradient check"),
    "variants/plot_learning_rate_001": (3, "Four rates: three fall, one explodes"),
    "variants/plot_learning_rate_002": (3, "The best rate lies just below the limit"),
    "variants/plot_minibatch_001": (4, "Batches guess the gradient; larger ones guess better"),
    "variants/plot_three_variants_001": (4, "One surface, three batch sizes"),
    "variants/plot_three_variants_002": (4, "Small batches lead, and then hover"),
    "rules/plot_momentum_002": (5, "Momentum takes the root of the condition number"),
    "rules/plot_when_adam_fails_001": (5, "Adam walks to the worst point"),
    "theory/plot_initialisation_002": (6, "A gradient vanishes layer by layer"),
    "theory/plot_edge_of_stability_001": (6, "Sharpness rises to 2 over the rate, and stays"),
    "practice/plot_digits_001": (6, "Five optimizers, one grid of rates"),
}

# Scripts that are no pages, because they cannot run inside the build: each is shown on the page named first, and really
# run by the test named second. The build fails where either does not name the script.
COMPANIONS = {
    # starts processes of its own, each of which must meet TensorFlow before anything else does
    "practice/multiworker_descent.py": ("variants/plot_data_parallel.py", "test_multiworker.py"),
}
