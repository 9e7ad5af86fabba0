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
        "plot_deep_linear.py",
        "plot_edge_of_stability.py",
    ],
    "practice": [
        "plot_diabetes.py",
        "plot_digits.py",
    ],
}

# Scripts that are no pages, because they cannot run inside the build: each is shown on the page named first, and really
# run by the test named second. The build fails where either does not name the script.
COMPANIONS = {
    # starts processes of its own, each of which must meet TensorFlow before anything else does
    "practice/multiworker_descent.py": ("variants/plot_data_parallel.py", "test_multiworker.py"),
}
