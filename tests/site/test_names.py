"""Names in code lead to what documents them, and words of the glossary say what they mean."""

from __future__ import annotations

import re

import pytest
from built_site import ROOT, content_pages, read, target

INVENTORIES = sorted((ROOT / "docs" / "inventories").glob("*.txt"))


def links(name: str) -> dict[str, str]:
    """Give each linked name of a page's code and where it leads."""
    return {link.get_text(): link["href"] for link in read(name).select("article pre a[href]")}


@pytest.mark.parametrize(
    ("page", "word", "address"),
    [
        ("tutorial/setup.html", "keras.Sequential", "https://keras.io/api/models/sequential/"),
        ("tutorial/batch.html", "np.meshgrid", "https://numpy.org/doc/stable/reference/generated/numpy.meshgrid.html"),
        ("practice/my_model_does_not_learn.html", "SGD", "https://keras.io/api/optimizers/sgd/"),
        ("practice/my_model_does_not_learn.html", "diagnose", "../reference/api/"),
        ("gallery/variants/plot_learning_rate.html", "train", "../../reference/api/"),
        ("gallery/theory/plot_network_surface.html", "plt.subplots", "https://matplotlib.org/stable/api/_as_gen/"),
    ],
)
def test_a_name_in_code_leads_to_what_documents_it(page, word, address):
    assert links(page)[word].startswith(address)


def test_code_in_a_fold_has_its_links_too():
    assert read("tutorial/batch.html").select("details pre a[href]")


def test_an_inventory_holds_what_pages_use_and_nothing_else():
    used = {href.partition("#")[2] for name in content_pages() for href in links(name).values()}
    held = {line.split()[0] for path in INVENTORIES for line in path.read_text(encoding="utf-8").splitlines()[3:]}
    assert held <= used


def test_a_word_of_the_glossary_says_what_it_means_when_you_point_at_it():
    words = read("tutorial/batch.html").select('article a[href*="glossary.html#term-"]')
    said = [word.get("title", "") for word in words]
    assert sum(map(bool, said)) > 0.8 * len(said) > 5
    name, tip = next((word["href"].partition("#")[2], tip) for word, tip in zip(words, said, strict=True) if tip)
    page = target("tutorial/batch.html", words[0]["href"])
    entry = read(page).find(id=name).find_next_sibling("dd")
    assert " ".join(entry.get_text().split()).startswith(tip)


def test_what_a_word_means_is_said_without_the_key_of_its_source():
    pages = [
        read(name) for name in ("tutorial/backprop.html", "tutorial/stochastic.html", "practice/settings_of_fit.html")
    ]
    tips = {link["title"] for page in pages for link in page.select('article a[href*="glossary.html#term-"][title]')}
    assert any(tip.endswith("and repeat.") for tip in tips)  # of gradient descent, which has a source
    assert [tip for tip in tips if re.search(r"[a-z](?:19|20)\d\d", tip)] == []
