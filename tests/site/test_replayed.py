"""What the page computes is what Keras computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
import tensorflow as tf

OPTIMIZERS = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
SETTINGS = 35  # five of each optimizer
UPDATES = 50


def random_settings(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2026)
    settings = []
    for k in range(count):
        n = int(rng.integers(1, 13))
        x = np.round(rng.normal(0, 2, n), 3)
        y = np.round(rng.normal(0, 3, n), 3)
        settings.append(
            {
                "opt": OPTIMIZERS[k % len(OPTIMIZERS)],
                "batch": int(rng.integers(1, n + 1)),
                "lr": float(10 ** rng.uniform(-4, 0.3)),
                "beta": float(rng.uniform(0, 0.99)),
                "w": float(rng.normal(0, 2)),
                "b": float(rng.normal(0, 2)),
                "seed": int(rng.integers(0, 2**32)),
                "data": np.c_[x, y].tolist(),
            }
        )
    return settings


def optimizer_of(settings: dict[str, Any]) -> Any:
    rate, beta = settings["lr"], settings["beta"]
    make = {
        "sgd": lambda: keras.optimizers.SGD(rate),
        "momentum": lambda: keras.optimizers.SGD(rate, momentum=beta),
        "nesterov": lambda: keras.optimizers.SGD(rate, momentum=beta, nesterov=True),
        "adagrad": lambda: keras.optimizers.Adagrad(rate),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate, rho=beta),
        "adam": lambda: keras.optimizers.Adam(rate, beta_1=beta),
        "adamw": lambda: keras.optimizers.AdamW(rate, beta_1=beta),
    }
    return make[settings["opt"]]()


def replay_in_keras(settings: dict[str, Any], trace: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Make the updates of a trace in float64 Keras, on the trace's batches."""
    neuron = keras.layers.Dense(1, dtype="float64")
    neuron.build((None, 1))
    neuron.set_weights([np.array([[settings["w"]]]), np.array([settings["b"]])])
    optimizer = optimizer_of(settings)
    optimizer.build(neuron.trainable_variables)
    mse = keras.losses.MeanSquaredError(dtype="float64")
    data = np.array(settings["data"])
    rows = []
    for row in trace[1:]:
        x, y = data[row["batch"], :1], data[row["batch"], 1:]
        with tf.GradientTape() as tape:
            batch_loss = mse(y, neuron(x))
        gradients = tape.gradient(batch_loss, [variable.value for variable in neuron.trainable_variables])
        optimizer.apply(gradients, neuron.trainable_variables)
        w, b = (weight.item() for weight in neuron.get_weights())
        rows.append(
            {
                "w": w,
                "b": b,
                "loss": float(np.mean((w * data[:, 0] + b - data[:, 1]) ** 2)),
                "gradW": gradients[0].numpy().item(),
                "gradB": gradients[1].numpy().item(),
                "batchLoss": float(batch_loss),
            }
        )
    return rows


def largest_difference(page: list[dict[str, Any]], other: list[dict[str, float]]) -> float:
    """Largest difference of any number, relative where the number is above 1 (runs that diverge reach 1e60)."""
    assert len(page) == len(other)
    pairs = [(row[name], twin[name]) for row, twin in zip(page, other, strict=True) for name in twin]
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)


RUN = """([all, updates]) => {
  const element = document.querySelector("gdx-playground");
  return all.map((settings) => { element.configure(settings); element.step(updates); return element.trace; });
}"""


def test_the_playground_equals_float64_keras_over_random_settings(open_page: Any) -> None:
    settings = random_settings(SETTINGS)
    traces = open_page().evaluate(RUN, [settings, UPDATES])
    worst = 0.0
    for one, trace in zip(settings, traces, strict=True):
        assert (trace[0]["update"], trace[0]["w"], trace[0]["b"]) == (0, one["w"], one["b"])
        assert len(trace) == UPDATES + 1
        assert [row["update"] for row in trace] == list(range(UPDATES + 1))
        assert all(1 <= len(row["batch"]) <= one["batch"] for row in trace[1:])
        worst = max(worst, largest_difference(trace[1:], replay_in_keras(one, trace)))
    assert worst <= 1e-9


def test_the_page_draws_the_batches_that_the_package_draws(open_page: Any) -> None:
    from gdexplain import batch_order

    settings = random_settings(28)
    traces = open_page().evaluate(RUN, [settings, UPDATES])
    for one, trace in zip(settings, traces, strict=True):
        order = batch_order(len(one["data"]), one["batch"], UPDATES, seed=one["seed"])
        assert [row["batch"] for row in trace[1:]] == [rows.tolist() for rows in order[:UPDATES]]


def test_a_run_of_the_page_is_a_run_of_train(open_page: Any) -> None:
    from gdexplain import build_linear, make_line, train

    page = open_page()
    page.evaluate(
        "document.querySelector('gdx-playground').configure({opt: 'adam', batch: 2, lr: 0.1, seed: 3, w: 0.5, b: -1})"
    )
    page.evaluate("document.querySelector('gdx-playground').step(20)")
    trace = page.evaluate("document.querySelector('gdx-playground').trace")
    model = build_linear(0.5, -1.0, dtype="float64")
    run = train(model, make_line(), optimizer=keras.optimizers.Adam(0.1), batch_size=2, epochs=10, seed=3)
    np.testing.assert_allclose([[row["w"], row["b"]] for row in trace], run.parameters, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose([row["batchLoss"] for row in trace[1:]], run.loss, rtol=1e-12)


def test_the_copied_keras_code_makes_the_run_of_the_page(open_page: Any) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    for one in random_settings(14)[7:]:  # of each optimizer
        one |= {"lr": 0.0375, "beta": 0.8}
        page.evaluate("(s) => { const e = document.querySelector('gdx-playground'); e.configure(s); e.step(6); }", one)
        rate = page.get_by_label("learning rate η", exact=True)
        rate.fill("0.0123")  # from here on: the code must carry the change
        rate.press("Enter")
        page.evaluate("document.querySelector('gdx-playground').step(6)")
        trace = page.evaluate("document.querySelector('gdx-playground').trace")
        page.evaluate("navigator.clipboard.writeText('nothing')")
        page.get_by_role("button", name="Copy Keras code").click()
        page.wait_for_function("navigator.clipboard.readText().then((text) => text !== 'nothing')")
        code = page.evaluate("navigator.clipboard.readText()")
        names: dict[str, Any] = {}
        exec(compile(code, "copied.py", "exec"), names)  # noqa: S102  # what a reader would run
        assert "optimizer.learning_rate" in code
        np.testing.assert_allclose(names["path"], [[row["w"], row["b"]] for row in trace], rtol=1e-6, atol=1e-6)


def keras_network(x: float, y: float, weights: list[float]) -> dict[str, tuple[float, float]]:
    """A 1-2-1 tanh network in float64 Keras: the value of the loss and the gradient of every weight, and of x."""
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="float64"),
            keras.layers.Dense(2, activation="tanh", dtype="float64"),
            keras.layers.Dense(1, dtype="float64"),
        ]
    )
    flat = np.array(weights)
    model.set_weights([flat[0:2][None], flat[2:4], flat[4:6][:, None], flat[6:]])
    given = tf.constant([[x]], tf.float64)
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(given)
        output = model(given)
        loss = keras.losses.MeanSquaredError(dtype="float64")(np.array([[y]]), output)
    gradients = tape.gradient(loss, [given, *variables])
    numbers = np.concatenate([gradient.numpy().ravel() for gradient in gradients])
    found = {
        name: (value, grad)
        for name, value, grad in zip(
            ["x", "w1", "w2", "b1", "b2", "v1", "v2", "c"], [x, *weights], numbers, strict=True
        )
    }
    return found | {"yhat": (output.numpy().item(), 2 * (output.numpy().item() - y)), "loss": (float(loss), 1.0)}


def test_the_backprop_stepper_equals_the_tape_of_keras_on_random_inputs(open_page: Any) -> None:
    page = open_page()
    rng = np.random.default_rng(5)
    for _ in range(20):
        x, y = rng.normal(0, 2, 2).tolist()
        weights = rng.normal(0, 1, 7).tolist()
        nodes = page.evaluate(
            "(s) => { const e = document.querySelector('gdx-backprop'); e.configure(s); return e.nodes; }",
            {"x": x, "y": y, "weights": weights},
        )
        found = {node["name"]: (node["value"], node["grad"]) for node in nodes}
        for name, expected in keras_network(x, y, weights).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("opt", ["momentum", "rmsprop", "adam"])
def test_the_rule_stepper_equals_a_keras_optimizer_in_float64(open_page: Any, opt: str) -> None:
    page = open_page()
    rng = np.random.default_rng(11)
    for _ in range(10):
        settings = {
            "opt": opt,
            "lr": float(10 ** rng.uniform(-3, 0)),
            "beta": float(rng.uniform(0, 0.99)),
            "w": float(rng.normal()),
            "gradients": (rng.normal(size=20) * 10.0 ** rng.uniform(-3, 2, 20)).tolist(),
        }
        rows = page.evaluate(
            "(s) => { const e = document.querySelector('gdx-rule'); e.configure(s); return e.updates; }", settings
        )
        weight, optimizer = keras.Variable(settings["w"], dtype="float64"), optimizer_of(settings)
        optimizer.build([weight])
        for row, gradient in zip(rows, settings["gradients"], strict=True):
            before = weight.numpy().item()
            optimizer.apply([tf.constant(gradient, tf.float64)], [weight])
            assert row["gradient"] == gradient
            np.testing.assert_allclose(row["w"], weight.numpy(), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(row["step"], weight.numpy() - before, rtol=1e-9, atol=1e-12)
        memory = {name: variable.numpy().item() for name, variable in zip("mv", optimizer.variables[2:], strict=False)}
        if opt == "rmsprop":
            memory = {"v": memory["m"]}
        for name, value in memory.items():
            np.testing.assert_allclose(rows[-1]["memory"][name], value, rtol=1e-12)


def test_the_circuit_gives_the_gradients_of_the_course(open_page: Any) -> None:
    page = open_page()
    page.get_by_label("Graph", exact=True).select_option("circuit")
    nodes = {node["name"]: node for node in page.evaluate("document.querySelector('gdx-backprop').nodes")}
    assert nodes["f"]["value"] == -12
    assert [nodes[name]["grad"] for name in "xyz"] == [-4, -4, 3]


def test_each_badge_says_that_the_page_equals_keras(open_page: Any) -> None:
    page = open_page()
    badges = page.locator(".gdx-badge").all_inner_texts()
    assert len(badges) == 4
    assert all(badge.startswith("✓") and keras.__version__ in badge for badge in badges), badges


def test_a_badge_tells_of_numbers_that_differ(open_page: Any, site: Any, tmp_path: Any) -> None:
    page = open_page()
    text = page.evaluate("""() => {
      const payload = document.getElementById("gdx-payload");
      const given = JSON.parse(payload.textContent);
      given.runs[3].path[2][1] += 1e-6;
      payload.textContent = JSON.stringify(given);
      const element = document.querySelector("gdx-playground");
      element.badge();
      return element.querySelector(".gdx-badge").textContent;
    }""")
    assert text.startswith("✗")
