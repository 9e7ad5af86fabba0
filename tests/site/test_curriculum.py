"""The curriculum against the built site: each page there, checked in the open, with results, exercises and a way on."""

from __future__ import annotations

import ast
import posixpath
import re
from functools import cache
from typing import NamedTuple

import pytest
from bs4 import BeautifulSoup
from built_site import SITE, content_pages, gallery_pages, target
from checks import is_check


class Lesson(NamedTuple):
    """One page of the course, its number in the curriculum (0: the tutorial, before the numbers) and what it must prove.

    The figures are patterns that its results must show. A figure that mathematics fixes stands with all its digits; one
    that depends on draws leaves open the digits that other draws change, and its page compares it with a prediction.
    """

    number: int
    claim: str
    page: str
    figures: tuple[str, ...]


CURRICULUM = (
    Lesson(
        0,
        "a neuron is two numbers, and training finds them",
        "tutorial/setup.html",
        (r"loss at \(0, 0\): 30\.0", r"w = 1\.99\d, b = 0\.03\d"),
    ),
    Lesson(
        0,
        "backprop of the neuron on paper is Keras', and so is the loop",
        "tutorial/backprop.html",
        (
            r"gradient by hand \[-30\.0, -10\.0\], by Keras \[-30\.0, -10\.0\]",
            r"fit and the loop: 25 updates",
            r"train and the loop: 25 updates",
            r"eight rows: \[-30\.0, -10\.0\]",
        ),
    ),
    Lesson(
        0,
        "with full batches the loss falls at every update, up to a limit of the rate",
        "tutorial/batch.html",
        (
            r"the loss fell at 100 of 100 updates",
            r"rate 0\.1197: .* falls\n\s*rate 0\.1198: .* grows",
            r"4 examples: 20 updates in 20 epochs",
        ),
    ),
    Lesson(
        0,
        "the noise vanishes where every example fits",
        "tutorial/stochastic.html",
        (
            r"noise at \(0, 0\): 536; at \(2, 0\): 0\n",
            r"exact line: distance 2\.00 at first, \de-0[678] late",
            r"moved targets: distance \d\.\d+ at first, \de-0[12] late",
        ),
    ),
    Lesson(
        0,
        "the notebook's digits need 45 updates",
        "tutorial/digit_by_digit.html",
        (
            r"hidden updates: 20, start: w0 = -0\.04296",
            r"23\.7309 23\.3863 23\.0451 22\.7073 22\.3729 22\.0419 21\.7144 21\.3903 21\.0697 20\.7525",
            r"weight 0\.39028338, bias 0\.432269",
        ),
    ),
    Lesson(
        1,
        "the loss and its gradient, three ways",
        "explanation/model_and_loss.html",
        (
            r"mean 30\n",
            r"by hand \[-30, -10\], NumPy \[-30\.0, -10\.0\], Keras \[-30\.0, -10\.0\]",
        ),
    ),
    Lesson(
        2,
        "each number of a backward pass",
        "explanation/backprop_by_hand.html",
        (r"f = -12\.0  slopes in x, y, z: \[-4\.0, -4\.0, 3\.0\]",),
    ),
    Lesson(
        3,
        "a tape differentiates any program",
        "gallery/backprop/plot_tape.html",
        (
            r"g = 24\.7041, dg/da = 138\.8338, dg/db = 645\.5773",
            r"GradientTape: dg/da = 138\.8338, dg/db = 645\.5773",
            r"1\.0001 \*\* 5000 = 1\.648680",
        ),
    ),
    Lesson(
        4,
        "the error of differences, and the step that is best",
        "gallery/backprop/plot_gradient_check.html",
        (
            r"trace against GradientTape, relative: [1-5]e-16",
            r"forward: slope 1\.0\d, best h \de-08",
            r"central: slope 2\.00, best h \de-0[56]",
            r"complex step: [1-4]e-16",
            r"float32: best h \S+, error \de-05",
        ),
    ),
    Lesson(
        5,
        "backprop costs about one more pass",
        "explanation/why_backprop.html",
        (
            r"1120\s+1121\s+2240\s+2\.94",
            r"1120\s+2\.94\s+3296\s+2\.94",
            r"17 slopes: 1 pass back, or 17 passes forward",
            r"200 slopes: 1 pass forward, or 200 passes back",
        ),
    ),
    Lesson(
        6,
        "batch gradient descent contracts as the Hessian says",
        "gallery/variants/plot_batch.html",
        (r"contraction rate: predicted 0\.971932, measured 0\.971932",),
    ),
    Lesson(
        6,
        "the rate is stable below 2 over lambda",
        "gallery/variants/plot_learning_rate.html",
        (
            r"measured 0\.119756, predicted 0\.119756",
            r"best rate 0\.117647: contraction predicted 0\.964778, measured 0\.964778",
            r"rate 0\.1197: .* falls",
            r"rate 0\.1198: .* grows",
            r"by hand, to 12 digits: 0\.964777\d+",
        ),
    ),
    Lesson(
        6,
        "a bowl's updates are counted beforehand, and a network's only a little way",
        "practice/how_many_updates.html",
        (
            r"kappa 55\.78: about 128 updates",
            r"fit needs 129",
            r"10123\s+23309\s+23310",
            r"digits, SGD\s+0\.\d\d to [01]\.\d\d\s.*\s0\.[23]\d to 0\.[234]\d\n",
        ),
    ),
    Lesson(
        7,
        "scaled inputs need one update",
        "gallery/variants/plot_feature_scaling.html",
        (
            r"condition number: 55\.78 with x, 1\.00 with z",
            r"after 1 update 0e\+00",
        ),
    ),
    Lesson(
        8,
        "the mean-square limit lies below batch's",
        "gallery/variants/plot_stochastic.html",
        (
            r"limit: 0\.080148 for random single examples, 0\.119756 for the batch",
            r"in order, at rate 0\.1: × 0\.96\d* a pass",
            r"8 of 24 orders diverge; with x = 1, 2, 4, 3: × 1\.022\d a pass",
        ),
    ),
    Lesson(
        9,
        "the missing section of the notebook",
        "tutorial/minibatch.html",
        (
            r"40 updates, loss 0\.02\d+",
            r"1\s+4\s+\(-30, -10\)\s+536\.000",
            r"2\s+6\s+\(-30, -10\)\s+178\.667",
            r"3\s+4\s+\(-30, -10\)\s+59\.556",
            r"4\s+1\s+\(-30, -10\)\s+0\.000",
        ),
    ),
    Lesson(
        9,
        "every subset: unbiased, and its covariance",
        "gallery/variants/plot_minibatch.html",
        (
            r"variance 536\.000",
            r"variance 178\.667",
            r"variance 59\.556",
            r"variance 0\.000",
        ),
    ),
    Lesson(
        10,
        "what fit does with batches, seeds and 32",
        "gallery/variants/plot_what_fit_does.html",
        (
            r"4 examples: 1 update an epoch\n33 examples: 2 updates an epoch",
            r"largest difference of the weights: 0\.0",
        ),
    ),
    Lesson(
        11,
        "the noise floor, and the decay that passes it",
        "gallery/variants/plot_noise_floor.html",
        (
            r"measured 0\.027[78]\d, predicted 0\.02778",
            r"slope .* measured -(?:1\.00|0\.99)\d, predicted -1\.000",
            r"at 20\.0% of the limit: 1\.2\d times the straight line, predicted 1\.25",
        ),
    ),
    Lesson(
        12,
        "shuffling beats drawing",
        "gallery/variants/plot_shuffling.html",
        (
            r"reshuffled: 3\.\d+, predicted 3\.48",
            r"reshuffled: 10\.\d+, predicted 10\.47",
            r"reshuffled: 3[789]\.\d+, predicted 38\.53",
        ),
    ),
    Lesson(
        13,
        "twice the batch, half the updates, to a floor",
        "gallery/variants/plot_batch_size_and_rate.html",
        (
            r"updates:\s+95[4-7] 4(?:79|80) 24[12] 12[1-4] 6[123] ",
            r"divides the difference by .* 3\.99 ",
        ),
    ),
    Lesson(
        13,
        "gradient accumulation is a larger batch",
        "gallery/variants/plot_accumulation.html",
        (
            r"120 batches of 2: the weights moved 30 times",
            r"batch normalisation\s+(?:\de[+-]0[0-2]\s*){4}\n",
            r"no normalisation\s+(?:\de-0[678]\s*){4}\n",
        ),
    ),
    Lesson(
        14,
        "two replicas make the update of one bigger batch",
        "gallery/variants/plot_data_parallel.html",
        (
            r"4 \+ 4: whole batch (\[[^]]+\]), plain mean \1\n",
            r"largest difference in 20 updates: \de-0[78]",
        ),
    ),
    Lesson(
        15,
        "momentum takes the root of the condition number",
        "gallery/rules/plot_momentum.html",
        (
            r"eta 0\.186288, beta 0\.583448, predicted contraction rate 0\.763837",
            r"still outside after 404 updates",
            r"still outside after 71 updates",
            r"from 50 starts momentum needs 16% to 18% of the updates",
            r"around update 71: 0\.77[34]\d*; spectral radius: 0\.763837",
            r"measured radius 0\.763837 = sqrt\(beta\) = 0\.763837",
        ),
    ),
    Lesson(
        16,
        "the adaptive rules from scratch are Keras'",
        "gallery/rules/plot_adam_from_scratch.html",
        (
            r"AdaGrad: 200 updates of 4 variables, largest difference \de-1[5-7]",
            r"RMSProp: 200 updates of 4 variables, largest difference \de-1[5-7]",
            r"Adam: 200 updates of 4 variables, largest difference \de-1[5-7]",
            r"longest first step without: 3\.16 rates\n\s*were the gradient steady: 6\.57 rates at update 12",
            r"rate 0\.3, with corrections: [0-2] of 8 .*\n\s*rate 0\.3, without: [678] of 8",
        ),
    ),
    Lesson(
        16,
        "a factor on a layer's gradient is a rate for gradient descent, and nearly nothing for Adam",
        "practice/rate_for_each_layer.html",
        (
            r"one rate: .* loss 0\.01\d+\n\s*two rates: .* loss 0\.00\d+",
            r"a key that fits no path changes 0 weights",
            r"Adam: a factor of 10 moves the layer by \d\.\de-0[456], a rate 10 times larger by [2-9]\.\de-01",
        ),
    ),
    Lesson(
        17,
        "Adam can end at the worst point",
        "gallery/rules/plot_when_adam_fails.html",
        (
            r"'Adam': '1\.000', 'AMSGrad': '-0\.998'",
            r"gradient_descent\(\S+\): training loss \S+, test error 0\.00%",
            r"adagrad\(0\.1\): training loss \S+, test error (39\.\d+)%[\s\S]*share of negatives: \1%",
        ),
    ),
    Lesson(
        18,
        "weight decay is not an L2 penalty",
        "gallery/rules/plot_adamw_is_not_l2.html",
        (
            r"AdamW, lambda 0\.1: 0\.904792, predicted 0\.904792",
            r"Adam \+ L2, lambda 0\.1 and 1: 0\.224\d 0\.2244",
        ),
    ),
    Lesson(
        19,
        "schedules, and the limit of the range test",
        "gallery/rules/plot_schedules.html",
        (
            r"float32: the loss turns at 0\.(?:19|20)\d, 1\.[67] times the limit, 0\.1198",
            r"float64: the loss turns at 0\.(?:2[789]|30)\d, 2\.[345] times the limit, 0\.1198",
        ),
    ),
    Lesson(
        20,
        "the gain of a layer decides how deep a signal gets",
        "gallery/theory/plot_initialisation.html",
        (
            r"he_normal, relu: log2 [+-]0\.0[0-4] a layer, predicted \+0\.00",
            r"glorot_uniform, relu: log2 -(?:1\.0[0-4]|0\.9[6-9]) a layer, predicted -1\.00",
            r"keeps 0\.2[34]\d a layer, predicted 0\.2[34]\d, bound 0\.25",
        ),
    ),
    Lesson(
        20,
        "a network's surface has copies and saddles, and a wider one has no shelves",
        "gallery/theory/plot_network_surface.html",
        (
            r"at the saddle: loss 0\.689",
            r"8 units: 10,321,920 copies",
            r"2 units: (?:[12]\d|9)% of 200 runs",
            r"3 units: [01]% of 200 runs",
        ),
    ),
    Lesson(
        21,
        "deep linear networks follow Saxe's sigmoids",
        "gallery/theory/plot_deep_linear.html",
        (
            r"largest gap to the sigmoids: 0\.00\d+",
            r"learned at 1\.35[23], predicted 1\.352",
            r"learned at 1\.92[678], predicted 1\.926",
            r"learned at 3\.50[67], predicted 3\.506",
        ),
    ),
    Lesson(
        22,
        "sharpness rises to 2 over the rate and stays",
        "gallery/theory/plot_edge_of_stability.html",
        (
            r"learning rate 0\.1: .* at the end (?:1\.0[012]|0\.9[789])\d\n",
            r"learning rate 0\.15: .* at the end (?:1\.0[012]|0\.9[789])\d\n",
            r"learning rate 0\.2: .* at the end (?:1\.0[012]|0\.9[789])\d\n",
            r"rate 0\.2: .* middle (?:1\.0[01]|0\.9[89])\d; 20 of 20 within 10 %",
        ),
    ),
    Lesson(
        23,
        "the boundary between learning and exploding is a fractal",
        "gallery/theory/plot_fractal_boundary.html",
        (
            r"pixels of edge, dimension 1\.[0-7]\d\n(?=a circle)",
            r"a circle, measured in the same way: (?:1\.0|0\.9)\d",
        ),
    ),
    Lesson(
        24,
        "gradient descent meets the normal equations",
        "gallery/practice/plot_diabetes.html",
        (r"all eleven agree to 1e-8",),
    ),
    Lesson(
        24,
        "every optimizer with the same grid and budget",
        "gallery/practice/plot_digits.html",
        (
            r"Adam leads SGD by [2-9]\d points with one rate for both, and by -?\d\.\d with both tuned",
            r"(?:beats|tie).*: margin \d\.\d+%, noise \d\.\d+%",
        ),
    ),
)

# These four share their subject with a page of the tutorial (batch, stochastic, minibatch), and its exercises stand there.
every_lesson = pytest.mark.parametrize("lesson", CURRICULUM, ids=lambda lesson: f"{lesson.number}-{lesson.page}")


@cache
def read(page: str) -> BeautifulSoup:
    """Parse a page; a test that changes the tree must parse its own."""
    return BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser")


def article(lesson: Lesson) -> BeautifulSoup:
    """Give the text of a lesson, or say which claim has lost its page."""
    assert (SITE / lesson.page).is_file(), f"no page proves {lesson.number}: {lesson.claim}"
    return read(lesson.page).select_one("article")


def checks(part: BeautifulSoup, *, folded: bool) -> int:
    """Count the checks in the code of a part; in what is folded away too, or only in what a reader sees at once."""
    cells = part.select(".cell_input pre, .fold-checks pre, .highlight-Python pre")
    folds = [cell.find_parents("details", class_=lambda name: name != "checks") for cell in cells]  # a check is a line
    seen = [cell for cell, around in zip(cells, folds, strict=True) if folded or not around]
    return sum(is_check(node) for cell in seen for node in ast.walk(ast.parse(cell.get_text())))


def exercises(page: str) -> BeautifulSoup | None:
    """Find the section of a page whose heading says Exercise."""
    headings = (heading for heading in read(page).select("article h2, article h3") if "Exercise" in heading.get_text())
    return next((heading.find_parent("section") for heading in headings), None)


def test_the_table_names_every_number_of_the_curriculum_and_no_page_twice():
    assert {lesson.number for lesson in CURRICULUM} == set(range(25))
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
def test_the_results_of_a_lesson_show_the_figures_it_is_about(site, lesson):
    outputs = article(lesson).select(".cell_output pre, .sphx-glr-script-out pre")
    results = "\n".join(output.get_text().rstrip() for output in outputs) + "\n"
    assert [figure for figure in lesson.figures if not re.search(figure, results)] == []


@every_lesson
def test_a_lesson_has_exercises_with_checked_solutions(site, lesson):
    section = exercises(lesson.page)
    assert section is not None
    assert checks(section, folded=True)
    assert not checks(section, folded=False), "a solution stands open beside its question"


@pytest.mark.parametrize("page", gallery_pages())
def test_every_script_says_what_it_needs_and_has_exercises_with_folded_solutions(site, page):
    before = read(page).select_one("article section").get_text().split("import ")[0]
    assert "You need " in " ".join(before.split())
    section = exercises(page)
    assert section is not None
    assert checks(section, folded=True)
    assert not checks(section, folded=False)
    assert section.select_one("details.solutions > summary") is not None


READ = [name for name in content_pages() if read(name).select_one(".crumbs .minutes") and not name.startswith("es/")]


@pytest.mark.parametrize("page", READ)
def test_the_end_of_a_page_leads_where_its_foot_leads(site, page):
    foot = target(page, read(page).select_one("a.next-page")["href"])
    headings = [heading for heading in read(page).select("article h2") if heading.get_text().startswith("What next")]
    ends = [heading.find_parent("section") for heading in headings]
    ends += [words for words in read(page).select("article p") if words.get_text().startswith("Next: ")]
    links = {target(page, link["href"]) for link in ends[-1].select("a[href]")}
    part = posixpath.dirname(foot)  # a page may lead to the first of a part instead of to its list
    assert foot in links or (foot.endswith("index.html") and any(posixpath.dirname(link) == part for link in links))


ROAD = [
    *(f"tutorial/{name}.html" for name in ("setup", "backprop", "batch", "stochastic", "minibatch")),
    *(f"explanation/{name}.html" for name in ("model_and_loss", "backprop_by_hand", "why_backprop")),
    *(f"gallery/variants/plot_{name}.html" for name in ("learning_rate", "three_variants", "noise_floor")),
    *(f"gallery/rules/plot_{name}.html" for name in ("momentum", "adam_from_scratch")),
    "gallery/theory/plot_initialisation.html",
    "gallery/practice/plot_digits.html",
]


@pytest.mark.parametrize("page", ROAD)
def test_a_page_of_the_road_has_a_bet_that_one_answer_wins(site, page):
    headings = [heading for heading in read(page).select("article h2, article h3") if heading.get_text()[:5] == "A bet"]
    assert len(headings) == 1
    section = headings[0].find_parent("section")
    answers = section.select("details.sd-dropdown")
    said = [answer.select_one(".sd-card-body").get_text().split() for answer in answers]
    assert len(answers) >= 3
    assert sum(words[0] in {"Yes", "Yes:", "Yes,", "Yes."} for words in said) == 1
    assert all(len(words) > 8 for words in said), "an answer says what it would mean"
    assert not any(fold.has_attr("open") for fold in section.select("details"))


@pytest.mark.parametrize("page", [page for page in ROAD if page.startswith("gallery/")])
def test_what_decides_the_bet_of_a_script_is_folded_behind_the_answers(site, page):
    fold = read(page).select_one("article details.decides")
    assert checks(fold, folded=True)
    assert fold.select_one(".sphx-glr-script-out").get_text(strip=True)
    assert not fold.select("details.sd-dropdown")
    assert not fold.find_next_siblings("details"), "an answer stands after what decides it"
