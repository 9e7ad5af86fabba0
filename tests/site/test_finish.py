"""The pieces that finish and publish a page, each by itself."""

from __future__ import annotations

import build_site
import pytest
from finish import anchor_addresses, delay_images, finish, link_figures, mend

from tools import check_prose

PAGE = """<!doctype html>
<html data-content_root="./"><head><meta charset="utf-8"><style>b {}</style></head><body>
<p>Before</p><script>one()</script><script src="a.js"></script><script type="application/json">{"a": 1}</script>
<a class="skip-to-content muted-link" href="#c">Skip</a><a href="index.html">Home</a><a href="https://example.org/">Far</a>
<img src="a.png" alt="A"><img src="b.png" alt="B" width="3" height="4"></body></html>"""


def test_images_get_their_sizes_and_the_second_waits():
    html = delay_images(PAGE, lambda name: (7, 8) if name == "a.png" else None)
    assert '<img decoding="async" width="7" height="8" src="a.png" alt="A">' in html
    assert '<img decoding="async" loading="lazy" src="b.png" alt="B" width="3" height="4">' in html


def test_a_figure_of_one_theme_waits_though_it_is_the_first():
    html = delay_images('<img class="only-dark" src="a.svg" alt="A">', lambda _: None)
    assert html == '<img decoding="async" loading="lazy" class="only-dark" src="a.svg" alt="A">'


def test_a_figure_is_a_link_to_its_file_and_another_picture_is_not():
    figure, other = '<img alt="A" class="b only-dark" src="a_dark.svg" />', '<img alt="B" src="b.svg">'
    assert link_figures(figure + other) == f'<a class="enlarge only-dark" href="a.svg">{figure}</a>{other}'


def test_the_link_to_the_content_comes_first():
    html = mend(PAGE)
    assert html.index("skip-to-content") < html.index("Before")
    assert html.count("skip-to-content") == 1


def test_a_summary_holds_no_paragraph():
    assert "<summary><span class='a'>Show</span></summary><p>" in mend("<summary><p class='a'>Show</p></summary><p>")


def test_relative_addresses_are_anchored_and_others_are_not():
    html = anchor_addresses(PAGE, "/some/sub/")
    assert 'href="/some/sub/index.html"' in html
    assert 'data-content_root="/some/sub/"' in html
    assert 'href="#c"' in html
    assert 'href="https://example.org/"' in html


def test_what_is_no_page_is_left_alone():
    assert finish("<feed/>", lambda _: None) == "<feed/>"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("  ", ""),
        ("https://example.org/a", "https://example.org/a/"),
        ("http://localhost:8000/", "http://localhost:8000/"),
    ],
)
def test_the_sites_address_is_empty_or_ends_with_a_slash(given, read):
    assert build_site.base_url({build_site.VARIABLE: given}) == read
    assert build_site.base_url({"READTHEDOCS_CANONICAL_URL": given}) == read
    assert build_site.base_url({}) == ""


@pytest.mark.parametrize(
    "given", ["example.org", "ftp://example.org", "https://", "https://example.org/?a", "https://example.org/#a"]
)
def test_what_is_no_address_is_refused_by_name(given):
    with pytest.raises(ValueError, match=build_site.VARIABLE):
        build_site.base_url({build_site.VARIABLE: given})


MARKDOWN = "---\nx: 1.5\n---\nSee $1.5$ and `1.5` and {eq}`1.5` and [a](1.5).\n\n```{code-cell}\n1.5\n```\n\n:::{note}\nIt is 2.5 and 3e-4.\n:::\n"
SCRIPT = (
    '"""\nTitle\n=====\n\nThe loss is :math:`1.5`, or 2.5.\n"""\nx = 1.5\n# %%\n# It fell to 3.5.\nx = 4.5\n# why 5.5\n'
)


def test_typed_numbers_are_found_in_prose_and_only_there(tmp_path):
    page, script = tmp_path / "a.md", tmp_path / "a.py"
    assert [found[:2] for found in check_prose.numbers_in(page, MARKDOWN)] == [(11, "2.5"), (11, "3e-4")]
    assert [found[:2] for found in check_prose.numbers_in(script, SCRIPT)] == [(5, "2.5"), (9, "3.5")]


def test_an_alt_text_is_prose(tmp_path):
    cell = "```{code-cell}\n---\nmystnb:\n  image:\n    alt: >-\n      It falls\n      to 2.5.\n---\nx = 1.5\n```\n"
    film = "```{animation} a\n:alt: It falls to 2.5.\n```\n"
    figure = '"""Title"""\n# sphinx_gallery_alt = "It falls "\n# sphinx_gallery_alt = "to 2.5."\nx = 1.5\n'
    found = [
        check_prose.numbers_in(tmp_path / name, text)
        for name, text in (("a.md", cell), ("a.md", film), ("a.py", figure))
    ]
    assert [[fault[:2] for fault in faults] for faults in found] == [[(7, "2.5")], [(2, "2.5")], [(3, "2.5")]]


def test_what_is_given_is_no_fault_and_what_is_measured_beside_it_is(tmp_path):
    found = check_prose.numbers_in(tmp_path / "a.md", "At a rate of 0.1 or 0.2 the loss is 0.3.\n")
    assert [number for _, number, _ in found] == ["0.3"]


def test_every_phrase_that_is_allowed_is_used():
    import re

    readers = {
        ".md": check_prose.prose_of_markdown,
        ".rst": check_prose.prose_of_rst,
        ".py": check_prose.prose_of_script,
    }
    prose = "\n".join(
        readers[path.suffix](path.read_text(encoding="utf-8")) for path in check_prose.sources(check_prose.ROOT)
    )
    patterns = [pattern.replace(" ", r"\s+") for patterns in check_prose.GIVEN.values() for pattern in patterns]
    assert [pattern for pattern in patterns if not re.search(pattern, prose)] == []


def test_no_page_has_a_typed_number(capsys):
    assert check_prose.main(check_prose.ROOT) == 0, capsys.readouterr().out
