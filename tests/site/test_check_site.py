"""The check of the built site finds each fault it is there for, and only those."""

from __future__ import annotations

import pytest
from check_site import check_site

GOOD = """<!doctype html><html><head><link rel="stylesheet" href="style.css"></head><body>
<h1 id="top">A page</h1><a href="other.html#there">a link</a> <a href="https://example.org/">far</a> <a href="#top">up</a>
<div class="cell"><div class="cell_input">print(1)</div><div class="cell_output"><pre>1 of 2: 0.119756</pre></div></div>
<img src="figure.png" srcset="figure.png, figure.png 2.00x" alt="A line.">
{planted}</body></html>"""
SOURCE = """# A page

```{code-cell} ipython3
print(1)
```

```{code-cell} ipython3
print(2)
```

[a broken link](nowhere.md)
"""


@pytest.fixture
def build(tmp_path):
    """Give a function that writes a small site with something planted in it."""

    def write(planted: str = "", *, source: str = SOURCE, style: str = "p { color: red }") -> list[str]:
        (tmp_path / "_sources").mkdir()
        (tmp_path / "_sources" / "page.md.txt").write_text(source)
        (tmp_path / "page.html").write_text(GOOD.format(planted=planted))
        (tmp_path / "other.html").write_text('<h1 id="there">Other</h1>')
        (tmp_path / "style.css").write_text(style)
        (tmp_path / "figure.png").write_bytes(b"")
        return [str(fault) for fault in check_site(tmp_path)]

    return write


def output(text: str) -> str:
    return f'<div class="cell"><div class="cell_input">x</div><div class="cell_output"><pre>{text}</pre></div></div>'


def test_a_good_site_has_no_fault(build):
    assert build() == []


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ('<img src="figure.png">', "without alt text"),
        ('<img src="figure.png" alt=" ">', "without alt text"),
        ("<video src='figure.png'></video>", "without aria-label"),
        ('<p id="top">again</p>', "stands twice"),
        ('<a href="nowhere.html">x</a>', "no such file"),
        ('<a href="/other.html">x</a>', "it leaves the site"),
        ('<a href="other.html#nowhere">x</a>', "no #nowhere"),
        ('<a href="#nowhere">x</a>', "no #nowhere"),
        ('<img src="https://example.org/a.png" alt="A">', "from elsewhere"),
        ('<img src="figure.png" srcset="//example.org/a.png 2x" alt="A">', "from elsewhere"),
        ('<script src="//example.org/a.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "from elsewhere"),
        ('<link rel="preconnect" href="https://example.org">', "from elsewhere"),
        ('<video aria-label="A" poster="https://example.org/a.png"></video>', "from elsewhere"),
        ('<iframe src="https://example.org"></iframe>', "from elsewhere"),
        ("<style>@import 'https://example.org/a.css';</style>", "from elsewhere"),
        ('<p style="background: url(https://example.org/a.png)">x</p>', "from elsewhere"),
        ('<span class="katex-error" title="ParseError">x</span>', "KaTeX"),
        ('<div class="output stderr">x</div>', "stderr"),
        (output("&lt;function f at 0x7f31c5&gt;"), "memory address"),
        (output("<span>&lt;f</span><span> at </span><span>0x7f31c5&gt;</span>"), "memory address"),
        (output("1/1 ━━━━━━━━━━ 0s 12ms/step"), "progress bar"),
        (output("100%|██████| 10/10 [00:00, 99.1it/s]"), "progress bar"),
        (output("2026-01-01 10:00:00.123456: I tensorflow/core/util/port.cc:153] x"), "log line"),
        (output("I0000 00:00:1795396157.822975   11842 port.cc:153] x"), "log line"),
        (output("a.py:1: UserWarning: mind this"), "warning"),
        (output("Traceback (most recent call last):"), "traceback"),
        ('<div class="sphx-glr-script-out"><pre>&lt;f at 0x7f&gt;</pre></div>', "memory address"),
        ('<dl><dt class="sig">f(x=&lt;object at 0x7f31c5&gt;)</dt></dl>', "memory address"),
    ],
)
def test_a_planted_fault_is_found_once(build, planted, word):
    faults = build(planted)
    assert len(faults) == 1
    assert word in faults[0]
    assert faults[0].startswith("docs/page.md")


def test_a_fault_in_an_output_names_the_line_of_its_cell(build):
    assert build(output("&lt;f at 0x7f31c5&gt;"))[0].startswith("docs/page.md:7: ")


def test_a_broken_link_names_its_line(build):
    assert build('<a href="nowhere.html">x</a>')[0].startswith("docs/page.md:11: ")


@pytest.mark.parametrize("link", ["/other.html", "../index.html"])
def test_a_link_that_leaves_the_site_is_found(build, link):
    assert "it leaves the site" in build(f'<a href="{link}">x</a>')[0]


@pytest.mark.parametrize(
    "link", ["/course/other.html#there", "https://a.org/course/other.html", "https://b.org/no.html"]
)
def test_a_link_to_the_sites_own_address_is_followed(tmp_path, link):
    (tmp_path / "404.html").write_text(f'<a href="{link}">x</a>')
    (tmp_path / "other.html").write_text('<h1 id="there">Other</h1>')
    assert check_site(tmp_path, base="https://a.org/course/") == []
    (tmp_path / "other.html").unlink()
    assert len(check_site(tmp_path, base="https://a.org/course/")) == ("other" in link)


def test_a_page_with_code_and_no_output_is_found(tmp_path):
    (tmp_path / "page.html").write_text('<div class="cell"><div class="cell_input">x = 1</div></div>')
    assert ["no output" in str(fault) for fault in check_site(tmp_path)] == [True]


def test_a_style_sheet_that_loads_from_elsewhere_is_found(build):
    assert "from elsewhere" in build(style="a { background: url(https://example.org/a.png) }")[0]


@pytest.mark.parametrize("line", ["  execution_mode: 'off'", "tags: [skip-execution]"])
def test_a_page_kept_from_running_is_found(build, line):
    (fault,) = build(source=f"---\n{line}\n---\n")
    assert fault.startswith("docs/page.md:2: kept from running")


def test_a_fault_in_a_script_names_the_script_and_the_line_of_its_block(tmp_path):
    (tmp_path / "_sources" / "gallery").mkdir(parents=True)
    (tmp_path / "gallery").mkdir()
    (tmp_path / "_sources" / "gallery" / "plot_a.rst.txt").write_text(
        '.. EDIT THE SOURCE PYTHON FILE:\n.. "gallery/variants/plot_a.py"\n.. GENERATED FROM PYTHON SOURCE LINES 12-20\n'
        ".. rst-class:: sphx-glr-script-out\n"
    )
    (tmp_path / "gallery" / "plot_a.html").write_text(
        '<div class="sphx-glr-script-out"><pre>at 0x7f &lt;f at 0x7f&gt;</pre></div>'
    )
    (fault,) = check_site(tmp_path)
    assert str(fault).startswith("examples/variants/plot_a.py:12: ")


def test_an_unchanged_page_is_read_from_the_cache_with_the_same_faults(tmp_path):
    site, cache = tmp_path / "site", tmp_path / "cache.json"
    site.mkdir()
    (site / "page.html").write_text('<img src="a.png">')
    assert check_site(site, cache=cache) == check_site(site, cache=cache) == check_site(site)
