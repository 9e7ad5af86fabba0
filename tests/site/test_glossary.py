"""A word of the glossary is a link where a page of the course uses it first, so that nobody has to guess what it means."""

from __future__ import annotations

import re

import pytest
from bs4 import NavigableString
from built_site import content_pages, read

# The words that the course turns on, each as a pattern; the glossary has more.
CENTRAL = {
    "backpropagation": r"backpropagation",
    "batch size": r"batch size",
    "callback": r"callbacks?",
    "chain rule": r"chain rule",
    "condition number": r"condition number",
    "contraction rate": r"contraction rate",
    "cross-entropy": r"cross-entropy",
    "early stopping": r"early stopping",
    "eigenvalue": r"eigenvalues?",
    "epoch": r"epochs?",
    "forward pass": r"forward pass(?:es)?",
    "gradient": r"gradients?(?! descent| noise|Tape)",
    "gradient noise": r"gradient noise",
    "Hessian": r"Hessian",
    "learning rate": r"learning rates?(?! schedule)",
    "logit": r"logits?",
    "loss": r"loss(?:es)?(?! surface)",
    "loss surface": r"loss surfaces?",
    "mean squared error": r"mean squared error",
    "momentum": r"momentum",
    "optimizer": r"optimizers?",
    "ReLU": r"relus?",
    "seed": r"seeds?",
    "sharpness": r"sharpness",
    "shuffling": r"shuffling",
    "sigmoid": r"sigmoids?",
    "softmax": r"softmax",
    "stability limit": r"stability limits?",
    "weight decay": r"weight decay",
}
COURSE = [
    name
    for name in content_pages()
    if name.startswith(("tutorial/", "explanation/", "practice/", "gallery/")) and not name.endswith("index.html")
]
ASIDE = [
    "pre",
    "blockquote",
    "code",
    "h1",
    "h2",
    "h3",
    "figcaption",
    "nav",
    "gdx-playground",
    "gdx-backprop",
    "gdx-map",
    "annotation",
]


def first_uses(name: str) -> dict[str, tuple[bool, str]]:
    """Find where a page first uses each word: (is it a link, the words around it)."""
    article = read(name).select_one("article")
    found: dict[str, tuple[bool, str]] = {}
    claims = [claim for claim in article.select("h1 + p") if [*claim.children] == claim.select("em")]  # of the title
    for text in article.find_all(string=True):
        around = text.find_parent(["p", "li", "td"])
        if type(text) is not NavigableString or text.find_parent(ASIDE) or around is None or around in claims:
            continue
        if text.find_parent("table", class_="printed"):  # a program's words
            continue
        link = text.find_parent("a")
        for word in CENTRAL.keys() - found.keys():
            if use := re.search(rf"\b(?:{CENTRAL[word]})\b", str(text), re.IGNORECASE):
                around = str(text)[max(use.start() - 30, 0) : use.end() + 30].replace("\n", " ")
                found[word] = (link is not None, around)  # a link to a page that explains it will do as well
    return found


@pytest.mark.parametrize("name", COURSE)
def test_a_word_of_the_glossary_is_a_link_at_its_first_use(name):
    assert {word: around for word, (linked, around) in first_uses(name).items() if not linked} == {}


def test_the_central_words_are_in_the_glossary(site):
    terms = read("reference/glossary.html").select("dt")
    assert CENTRAL.keys() <= {term.find(string=True).strip() for term in terms}
