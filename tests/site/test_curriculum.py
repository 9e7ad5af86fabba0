"""The curriculum against the built site: each page there, checked in the open, with results, exercises and a way on."""

from __future__ import annotations

import ast
import posixpath
from functools import cache
from typing import NamedTuple

import pytest
from bs4 import BeautifulSoup
from built_site import SITE


class Lesson(NamedTuple):
    """One page of the course, its number in the curriculum (0: the tutorial, before the numbers) and what it must prove."""

    number: int
    claim: str
    page: str


CURRICULUM = (
    Lesson(0, "a neuron is two numbers, and a seed fixes them", "tutorial/setup.html"),
    Lesson(0, "backprop of the neuron on paper is Keras'", "tutorial/backprop.html"),
    Lesson(0, "the notebook's batch gradient descent is Adam", "tutorial/batch.html"),
    Lesson(0, "the noise vanishes where every example fits", "tutorial/stochastic.html"),
    Lesson(0, "the notebook's digits need 45 updates", "tutorial/digit_by_digit.html"),
    Lesson(1, "the loss and its gradient, three ways", "explanation/model_and_loss.html"),
    Lesson(2, "each number of a backward pass", "explanation/backprop_by_hand.html"),
    Lesson(3, "a tape differentiates any program", "gallery/backprop/plot_tape.html"),
    Lesson(4, "the error of differences, and the step that is best", "gallery/backprop/plot_gradient_check.html"),
    Lesson(5, "backprop costs about one more pass", "explanation/why_backprop.html"),
    Lesson(6, "batch gradient descent contracts as the Hessian says", "gallery/variants/plot_batch.html"),
    Lesson(6, "the rate is stable below 2 over lambda", "gallery/variants/plot_learning_rate.html"),
    Lesson(7, "scaled inputs need one update", "gallery/variants/plot_feature_scaling.html"),
    Lesson(8, "the mean-square limit lies below batch's", "gallery/variants/plot_stochastic.html"),
    Lesson(9, "the missing section of the notebook", "tutorial/minibatch.html"),
    Lesson(9, "every subset: unbiased, and its covariance", "gallery/variants/plot_minibatch.html"),
    Lesson(10, "what fit does with batches, seeds and 32", "gallery/variants/plot_what_fit_does.html"),
    Lesson(11, "the noise floor, and the decay that passes it", "gallery/variants/plot_noise_floor.html"),
    Lesson(12, "shuffling beats drawing", "gallery/variants/plot_shuffling.html"),
    Lesson(13, "twice the batch, half the updates, to a floor", "gallery/variants/plot_batch_size_and_rate.html"),
    Lesson(14, "two replicas make the update of one bigger batch", "gallery/variants/plot_data_parallel.html"),
    Lesson(15, "momentum takes the root of the condition number", "gallery/rules/plot_momentum.html"),
    Lesson(16, "the adaptive rules from scratch are Keras'", "gallery/rules/plot_adam_from_scratch.html"),
    Lesson(17, "Adam can end at the worst point", "gallery/rules/plot_when_adam_fails.html"),
    Lesson(18, "weight decay is not an L2 penalty", "gallery/rules/plot_adamw_is_not_l2.html"),
    Lesson(19, "schedules, and the limit of the range test", "gallery/rules/plot_schedules.html"),
    Lesson(20, "the gain of a layer decides how deep a signal gets", "gallery/theory/plot_initialisation.html"),
    Lesson(21, "deep linear networks follow Saxe's sigmoids", "gallery/theory/plot_deep_linear.html"),
    Lesson(22, "sharpness rises to 2 over the rate and stays", "gallery/theory/plot_edge_of_stability.html"),
    Lesson(24, "gradient descent meets the normal equations", "gallery/practice/plot_diabetes.html"),
    Lesson(24, "every optimizer with the same grid and budget", "gallery/practice/plot_digits.html"),
)

# 23 (the fractal boundary) has no page yet: write one, and its number leaves here.
UNWRITTEN = {23}

# These four share their subject with a page of the tutorial (batch, stochastic, minibatch), and its exercises stand there.
WITHOUT_EXERCISES = {
    "gallery/variants/plot_batch.html": "tutorial/batch.html",
    "gallery/variants/plot_learning_rate.html": "tutorial/batch.html",
    "gallery/variants/plot_stochastic.html": "tutorial/stochastic.html",
    "gallery/variants/plot_minibatch.html": "tutorial/minibatch.html",
}

every_lesson = pytest.mark.parametrize("lesson", CURRICULUM, ids=lambda lesson: f"{lesson.number}-{lesson.page}")


@cache
def read(page: str) -> BeautifulSoup:
    """Parse a page; a test that changes the tree must parse its own."""
    return BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser")


def article(lesson: Lesson) -> BeautifulSoup:
    """Give the text of a lesson, or say which claim has lost its page."""
    assert (SITE / lesson.page).is_file(), f"no page proves {lesson.number}: {lesson.claim}"
    return read(lesson.page).select_one("article")


def is_check(node: ast.AST) -> bool:
    """Tell whether a piece of code is an assert statement or a call of np.testing."""
    return isinstance(node, ast.Assert) or (
        isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np.testing.assert_")
    )


def checks(part: BeautifulSoup, *, folded: bool) -> int:
    """Count the checks in the code of a part; in what is folded away too, or only in what a reader sees at once."""
    cells = part.select(".cell_input pre, .highlight-Python pre")
    seen = [cell for cell in cells if folded or cell.find_parent("details") is None]
    return sum(is_check(node) for cell in seen for node in ast.walk(ast.parse(cell.get_text())))


def exercises(lesson: Lesson) -> BeautifulSoup | None:
    """Find the section of a lesson whose heading says Exercise."""
    headings = (heading for heading in article(lesson).select("h2, h3") if "Exercise" in heading.get_text())
    return next((heading.find_parent("section") for heading in headings), None)


def test_the_table_names_every_number_of_the_curriculum_once_or_says_that_it_is_unwritten():
    assert {lesson.number for lesson in CURRICULUM} == set(range(25)) - UNWRITTEN
    assert len({lesson.page for lesson in CURRICULUM}) == len(CURRICULUM)


@every_lesson
def test_a_lesson_has_its_page(site, lesson):
    assert article(lesson).select_one("h1") is not None


@every_lesson
def test_a_lesson_checks_its_claim_where_the_reader_sees_it(site, lesson):
    assert checks(article(lesson), folded=False), f"{lesson.page} does not check that {lesson.claim}"


@every_lesson
def test_a_lesson_shows_what_it_measured(site, lesson):
    outputs = article(lesson).select(".cell_output, .sphx-glr-script-out")
    assert any(output.get_text(strip=True) for output in outputs)


@every_lesson
def test_a_lesson_has_exercises_with_checked_solutions(site, lesson):
    section = exercises(lesson)
    if lesson.page in WITHOUT_EXERCISES:
        assert section is None, f"{lesson.page} has exercises now: take it out of WITHOUT_EXERCISES"
        section = exercises(lesson._replace(page=WITHOUT_EXERCISES[lesson.page]))
    assert section is not None
    assert checks(section, folded=True)


@every_lesson
def test_a_lesson_leads_on_to_another_page(site, lesson):
    link = read(lesson.page).select_one("a.next-page")
    assert link is not None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(lesson.page), link["href"].split("#", maxsplit=1)[0]))
    assert target != lesson.page
    assert (SITE / target).is_file()
