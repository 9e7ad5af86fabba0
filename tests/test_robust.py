"""A check that hangs on the last digit or on one seed is found, and one that does not is left in peace."""

import runpy
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import gdexplain
from gdexplain import build_linear, build_mlp, make_line
from gdexplain.by_hand import objectives, rules
from tools.robust import __main__ as tool
from tools.robust import chance, page, variants

CHAOS = """
from gdexplain import build_mlp
x = float(build_mlp([8], inputs=8, seed=0).get_weights()[0].ravel().astype(float) @ range(1, 65)) % 1
for _ in range(100):
    x = 3.99 * x * (1 - x)
"""


def run(folder, code, name="plot_it.py"):
    path = folder / name
    path.write_text(code, encoding="utf-8")
    return page.run(path)


def weights(model):
    return np.concatenate([value.ravel() for value in model.get_weights()])


# -- a page whose checks are counted ------------------------------------------------------------------------------------


def test_a_chaotic_claim_fails_from_another_start_and_a_sound_one_does_not(tmp_path):
    end = runpy.run_path(tmp_path / "plot_it.py")["x"] if run(tmp_path, CHAOS) else None
    chaotic, sound = f"assert abs(x - {end!r}) < 0.01", "assert 0 < x < 1"
    assert run(tmp_path, f"{CHAOS}{chaotic}\n{sound}").failures == {}
    with chance.perturbed(1):
        result = run(tmp_path, f"{CHAOS}{chaotic}\n{sound}")
    assert (result.checks, {*result.failures}) == ({6, 7}, {6})


def test_a_page_runs_on_after_a_check_that_fails_and_says_what_was_measured(tmp_path):
    code = """import numpy as np
for rate in (0.1, 0.5, 0.9):
    assert rate < 0.3 and rate > 0
def check(value):
    np.testing.assert_allclose(value, 1, rtol=0, atol=0.03)
check(1.0741)
check([0.99, 1.2])
assert np.arange(3).sum() == 3
assert all(value < 2 for value in range(4)), "too large"
np.testing.assert_array_equal([1, 2], [1, 3])
np.testing.assert_allclose(*[(2.0, 1.0)][0], rtol=0.5)
losses = [np.array(0.5), np.float32(0.75)]
assert losses == sorted(losses, reverse=True)
"""
    result = run(tmp_path, code)
    found = {line: (failure["measured"], failure["allowed"]) for line, failure in result.failures.items()}
    assert found == {
        3: ("0.5", "0.3 = 0.3"),
        5: ("1.0741", "1 within 0.03"),
        9: ("False", "true"),
        10: ("2 at (1,)", "3 within 0"),
        11: ("2", "1 within 0.5"),
        13: ("[0.5, 0.75]", "sorted(losses, reverse=True) = [0.75, 0.5]"),
    }
    assert result.checks == {3, 5, 8, 9, 10, 11, 13}
    assert result.failures[3]["claim"] == "rate < 0.3 and rate > 0"


def test_of_a_check_that_holds_the_page_tells_what_was_compared(tmp_path):
    code = """import numpy as np
drawn = []
def draw():
    drawn.append(1)
    return len(drawn)
assert draw() == 1 and draw() == 2
limit = 0.119756
assert 0 < limit < 0.12, "words"
np.testing.assert_allclose(limit, 0.1197561, rtol=1e-5)
np.testing.assert_allclose(*(np.array([1.0, 2.0]), np.array([1.0, 2.5])), atol=1)
np.testing.assert_allclose([0.9, 1.1], 1, atol=0.2)
np.testing.assert_array_equal([1, 2], [1, 2])
assert not drawn == 3
for k in range(3):
    assert k < 3
assert len(drawn) == k == 2
assert {k} <= {1, 2}
"""
    result = run(tmp_path, code)
    assert result.failures == {}
    assert [words for _, words in result.told()] == [
        "`draw()`: predicted 1, measured 1; `draw()`: predicted 2, measured 2",
        "0 < `limit` = 0.119756 < 0.12",
        "`limit`: predicted 0.119756, measured 0.119756",
        "2 numbers as predicted, the largest difference 5.0e-01",
        "`[0.9, 1.1]`: predicted 1, measured 0.9 to 1.1",
        "`[1, 2]`: 2 numbers as predicted, to the last digit",
        "`not drawn == 3`",
        "`k` = 2 < 3",
        "`len(drawn)`, `k`: all 2",
        "`{k}` = {2} ≤ {1, 2}",
    ]
    assert result.told()[1][0] == "assert 0 < limit < 0.12, 'words'"


def test_a_side_is_computed_once_and_one_that_was_not_reached_not_at_all(tmp_path):
    code = """drawn = []
def draw():
    drawn.append(1)
    return len(drawn)
def broken():
    raise AssertionError("no such rate")
for k in (5, 1):
    assert 0 < k < 3 < draw() and draw() == 9
assert draw() == 7
assert draw() == 2 and broken() == 3
assert not drawn[1:] and draw()
"""
    result = run(tmp_path, code)
    found = {line: (failure["measured"], failure["allowed"]) for line, failure in result.failures.items()}
    assert found == {
        8: ("0", "k = 5; 3 = 3"),
        9: ("2", "7 = 7"),
        10: ("3", "2 = 2"),
        11: ("False", "true"),
    }
    assert result.found == {}


def test_an_error_in_what_a_check_calls_is_told_in_its_own_words(tmp_path):
    code = """import numpy as np
def broken(rate):
    if rate > 0:
        raise AssertionError(f"no such rate: {rate}")
assert 1 < 2 and broken(0.5) == 3
np.testing.assert_allclose(broken(0.25), 1)
"""
    found = run(tmp_path, code).failures
    assert [(one["measured"], one["allowed"]) for one in found.values()] == [
        ("no such rate: 0.5", ""),
        ("no such rate: 0.25", ""),
    ]


def test_an_error_ends_a_page_and_is_named_with_its_line(tmp_path):
    result = run(tmp_path, "assert 1 < 2\n\nraise ValueError('no such rate')\nassert 2 < 1\n")
    assert result.checks == {1}
    assert result.failures == {3: {"claim": "the page runs", "measured": "ValueError: no such rate", "allowed": ""}}


def test_a_page_of_cells_has_the_lines_of_its_file(tmp_path):
    code = """# A page

```{code-cell} ipython3
---
tags: [hide-input]
---
x = 1
assert x == 2
```

```python
raise RuntimeError("this is only shown")
```

```{code-cell} ipython3
:tags: [hide-input]

assert x == 3
```
"""
    assert {*run(tmp_path, code, "page.md").failures} == {8, 18}


def test_a_page_is_the_main_module_in_its_own_folder_and_afterwards_nothing_is_changed(tmp_path):
    main, folder = sys.modules["__main__"], Path.cwd()
    code = """from pathlib import Path
import sys
assert Path.cwd() == Path(__file__).parent
assert sys.modules[__name__].Path is Path and __name__ == "__main__"
raise SystemError
"""
    assert {*run(tmp_path, code).failures} == {5}
    assert (sys.modules["__main__"], Path.cwd()) == (main, folder)


def test_every_page_that_has_checks_is_found():
    names = {path.name for path in page.find()}
    assert {"plot_edge_of_stability.py", "plot_digits.py", "setup.md", "minibatch.md", "common_mistakes.md"} <= names
    assert not {"robust.md", "multiworker_descent.py", "index.md"} & names
    for path in page.find():
        for line, code in page.cells(path):
            assert path.read_text(encoding="utf-8").split("\n")[line - 1] == code.split("\n")[0]


# -- a start that differs in the last digit -----------------------------------------------------------------------------


def test_two_ways_to_the_same_start_are_moved_alike_and_by_little():
    plain = weights(build_mlp([16, 16, 1], inputs=2, seed=3))
    with chance.perturbed(1):
        one, two = (weights(build_mlp([16, 16, 1], inputs=2, seed=3)) for _ in range(2))
        other = build_mlp([16, 16, 1], inputs=2, seed=4)
        other.set_weights(build_mlp([16, 16, 1], inputs=2, seed=3).get_weights())
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, weights(other))  # a copy is not moved again
    moved = one != plain
    assert 0.3 < moved[plain != 0].mean() < 0.9  # 1e-7 is about one last digit of float32: not every number feels it
    np.testing.assert_allclose(one, plain, rtol=2e-7)
    assert np.array_equal(plain, weights(build_mlp([16, 16, 1], inputs=2, seed=3)))


def test_each_seed_moves_a_start_in_its_own_way_and_zero_stays_zero():
    starts = []
    for seed in range(1, 6):
        with chance.perturbed(seed):
            starts.append(weights(build_mlp([8, 8, 1], inputs=2, seed=0)))
            assert not weights(build_linear()).any()
    assert len({start.tobytes() for start in starts}) == 5


def test_a_run_by_hand_starts_where_the_model_does():
    numbers, line = np.array([-1.1, 2.7]), objectives.LeastSquares(make_line())
    with chance.perturbed(2):
        model = weights(build_linear(*numbers, dtype="float64"))
        by_hand = gdexplain.descend(line, rules.gradient_descent(0.01), numbers, steps=1).parameters[0]
        again = gdexplain.descend(line, rules.gradient_descent(0.01), model, steps=1).parameters[0]
    np.testing.assert_array_equal(model, by_hand)
    np.testing.assert_array_equal(model, again)
    assert (model != numbers).all()
    np.testing.assert_allclose(model, numbers, rtol=2e-15)


def test_the_runs_of_a_sweep_start_where_a_single_run_does():
    start = np.array([[-1.1, 2.7], [0.3, 0.7]])
    with chance.perturbed(2):
        still = [keras.optimizers.SGD(0.0) for _ in range(3)]
        runs = gdexplain.sweep(build_linear(), make_line(), optimizer=still[0], steps=1, start=start)
        fits = [
            gdexplain.train(build_linear(*one), make_line(), optimizer=sgd, batch_size=None, epochs=1)
            for one, sgd in zip(start, still[1:], strict=True)
        ]
    np.testing.assert_array_equal(runs.parameters, [fit.parameters[0] for fit in fits])
    assert (runs.parameters != start.astype(np.float32)).any()


# -- other seeds --------------------------------------------------------------------------------------------------------


def draws():
    """One number from each generator that a page may seed."""
    keras.backend.clear_session()  # Keras 3.10 goes on with the generator that it has
    keras.utils.set_random_seed(5)
    layer = keras.layers.Dropout(0.5, seed=3)
    return [
        np.random.default_rng(0).random(),
        np.random.random(),  # noqa: NPY002  # a page may use it
        float(keras.random.normal(())),
        float(keras.random.normal((), seed=3)),
        float(keras.initializers.GlorotUniform(seed=0)((1,))[0]),
        weights(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))[0],
        np.asarray(layer(np.ones(64), training=True)).tobytes(),
        np.concatenate(gdexplain.batch_order(64, 8, 1, seed=0)).tobytes(),
        make_line(noise=1.0, seed=0).targets.tobytes(),
    ]


def test_a_shift_changes_every_draw_and_repeats():
    plain = draws()
    with chance.shifted(1):
        one, again = draws(), draws()
    with chance.shifted(2):
        two = draws()
    assert one == again
    assert draws() == plain
    for place, values in enumerate(zip(plain, one, two, strict=True)):
        assert len({*values}) == 3, place


def test_a_layer_made_again_from_its_settings_draws_the_same_under_a_shift():
    x = np.ones(64)
    with chance.shifted(3):
        for layer in (
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(1)),
        ):
            again = type(layer).from_config(layer.get_config())
            same = [np.asarray(each(x[np.newaxis], training=True)) for each in (layer, again)]
            np.testing.assert_array_equal(*same)


# -- variants and their table -------------------------------------------------------------------------------------------


def outcome(*lines):
    return {
        "a.py": {"checks": 3, "failures": [{"line": k, "claim": "c", "measured": "2", "allowed": "1"} for k in lines]}
    }


def test_a_check_may_fail_for_one_seed_in_twenty_and_in_no_other_variant():
    seeds = {f"seed-{k}": outcome() for k in range(1, 21)}
    assert variants.broken(seeds | {"built": outcome(), "seed-4": outcome(7)}) == []
    assert variants.broken(seeds | {"seed-4": outcome(7), "seed-9": outcome(8)}) == []
    assert variants.broken(seeds | {"seed-4": outcome(7), "seed-9": outcome(7, 8)}) == [("a.py", 7)]
    assert variants.broken(seeds | {"start-1": outcome(8)}) == [("a.py", 8)]
    assert variants.broken(seeds | {"built": outcome(7), "seed-1": outcome(7)}) == [("a.py", 7)]


def test_every_variant_but_the_first_changes_something():
    every = variants.every()
    assert every["built"] == {}
    assert [name for name in every if variants.kind(name) == "seed"] == [f"seed-{k}" for k in range(1, 21)]
    assert sum(variants.kind(name) == "start" for name in every) == 5
    assert all(every[name] for name in every if variants.kind(name) not in ("built", "start", "seed"))
    assert {"onednn", "threads-2"} <= {*every}


def test_pages_that_are_run_again_take_their_place_in_the_table_with_the_machine_that_ran_them():
    page, names = {"checks": 1, "failures": []}, ["a.py", "b.py"]
    digests = {"a.py": "1", "b.py": "2", "gone.py": "3"}
    before = variants.table({name: {"a.py": page, "b.py": page, "gone.py": page} for name in variants.every()}, digests)
    made = variants.table({name: {"b.py": {**page, "checks": 2}} for name in variants.every()}, {"b.py": "4"})
    both = variants.renewed(before, made, names)
    rows = {name: (row["machine"], row["code"], row["checks"]) for name, row in both["pages"].items()}
    assert (rows, len(both["machines"])) == ({"a.py": (0, "1", 1), "b.py": (0, "4", 2)}, 1)

    elsewhere = {**before, "machines": [{**before["machines"][0], "processor": "another"}]}
    both = variants.renewed(elsewhere, made, names)
    ran_on = {name: both["machines"][row["machine"]]["processor"] for name, row in both["pages"].items()}
    assert ran_on == {"a.py": "another", "b.py": made["machines"][0]["processor"]}
    again = variants.renewed(both, {**made, "pages": {"a.py": made["pages"]["b.py"]}}, names)
    assert [one["processor"] for one in again["machines"]] == [made["machines"][0]["processor"]]  # the other ran none


def test_a_page_is_another_when_its_code_is_and_not_when_its_words_are(tmp_path):
    def digest(code, name):
        path = tmp_path / name
        path.write_text(code, encoding="utf-8")
        return page.digest(path)

    script = '"""Words."""\n# %%\n# More words.\nx = 1\n'
    assert digest(script, "a.py") == digest(script.replace("ords", "ORDS"), "a.py")
    assert digest(script, "a.py") != digest(script.replace("1", "2"), "a.py")
    text = "# Title\n\n```{code-cell} ipython3\nx = 1  # one\n```\n"
    assert digest(text, "a.md") == digest(text.replace("Title", "Name").replace("# one", ""), "a.md")
    assert digest(text, "a.md") != digest(text.replace("x =", "y ="), "a.md")


def test_words_choose_pages_and_variants_and_an_unknown_word_is_an_error():
    pages, names = ["examples/plot_a.py", "docs/b.md"], ["built", "seed-1", "seed-2"]
    assert tool.choose([], pages, names) == (pages, names)
    assert tool.choose(["plot_a"], pages, names) == (pages[:1], names)
    assert tool.choose(["seed", "b.md"], pages, names) == (pages[1:], names[1:])
    with pytest.raises(SystemExit, match="no page and no variant has 'noise'"):
        tool.choose(["seed", "noise"], pages, names)


def test_a_page_that_takes_its_process_with_it_is_noted_and_the_next_one_runs(monkeypatch, capsys):
    good = {"checks": 3, "failures": []}

    def run_process(name, pages, outcome):
        for path in pages:
            if path == "b.py":
                return -11  # a segmentation fault
            outcome[path] = {"seconds": 1.0, **good}
        return 0

    monkeypatch.setattr(tool, "run_process", run_process)
    found = tool.run_variant("built", ["a.py", "b.py", "c.py"])
    failure = {"line": 0, "claim": "the page runs", "measured": "signal 11", "allowed": ""}
    assert found == {"a.py": good, "b.py": {"checks": 0, "failures": [failure]}, "c.py": good}
    assert capsys.readouterr().out.startswith("built: 1 checks fail")


@pytest.mark.parametrize("status", [1, -2], ids=["refused", "Ctrl-C"])
def test_a_process_that_gives_up_or_is_interrupted_ends_the_run(monkeypatch, status):
    monkeypatch.setattr(tool, "run_process", lambda *_: status)
    with pytest.raises(SystemExit, match="gave up"):
        tool.run_all(["a.py"], ["built", "onednn"], jobs=1)


def test_the_table_names_the_processor_and_no_machine_and_each_check_that_fails():
    made = variants.table({"built": outcome(), "seed-1": outcome(7)}, {"a.py": "1"})
    assert set(made["machines"][0]) == {"processor", "system", "versions", "features", "variants"}
    failure = {"line": 7, "claim": "c", "in": {"seed-1": ["2", "1"]}}
    row = made["pages"]["a.py"]
    assert row == {"machine": 0, "date": row["date"], "code": "1", "checks": 3, "failures": [failure]}
