"""The check of the built site finds each fault it is there for, and only those."""

from __future__ import annotations

import pytest
from check_site import check_site

GOOD = """<!doctype html><html><head><link rel="stylesheet" href="style.css"></head><body>
<h1 id="top">A page</h1><a href="other.html#there">a link</a> <a href="https://example.org/">far</a> <a href="#top">up</a>
<div class="output stream highlight-myst-ansi"><pre>1 of 2: 0.119756</pre></div><pre>href="nowhere" at 0x7f</pre>
<script>document.write('<a href="nowhere.html">')</script>
{planted}</body></html>"""


@pytest.fixture
def build(tmp_path):
    """Give a function that writes a small site with something planted in it."""

    def write(planted: str = "", *, source: str = "# A page") -> list[str]:
        (tmp_path / "_sources").mkdir()
        (tmp_path / "_sources" / "page.md.txt").write_text(source)
        (tmp_path / "page.html").write_text(
            GOOD.replace('href="nowhere"', "href=&quot;nowhere&quot;").format(planted=planted)
        )
        (tmp_path / "other.html").write_text('<h1 id="there">Other</h1>')
        (tmp_path / "style.css").write_text("")
        return check_site(tmp_path)

    return write


def output(text: str) -> str:
    return f'<div class="output stream highlight-myst-ansi"><div><pre>{text}</pre></div></div>'


def test_a_good_site_has_no_fault(build):
    assert build() == []


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ('<a href="nowhere.html">x</a>', "no such file"),
        ('<img src="nowhere.svg" alt="A">', "no such file"),
        ('<a href="/other.html">x</a>', "it leaves the site"),
        ('<a href="../index.html">x</a>', "it leaves the site"),
        ('<a href="other.html#nowhere">x</a>', "no #nowhere"),
        ('<a href="#nowhere">x</a>', "no #nowhere"),
        (output("&lt;function f at 0x7f31c5&gt;"), "memory address"),
        (output("<span>&lt;f</span><span> at </span><span>0x7f31c5&gt;</span>"), "memory address"),
        (output("1/1 ━━━━━━━━━━ 0s 12ms/step"), "progress bar"),
        (output("100%|██████| 10/10 [00:00, 99.1it/s]"), "progress bar"),
        (output("2026-01-01 10:00:00.123456: I tensorflow/core/util/port.cc:153] x"), "log line"),
        (output("I0000 00:00:1795396157.822975   11842 port.cc:153] x"), "log line"),
        (output("a.py:1: UserWarning: mind this"), "warning"),
        (output("Traceback (most recent call last):"), "traceback"),
        ('<div class="sphx-glr-script-out"><pre>&lt;f at 0x7f&gt;</pre></div>', "memory address"),
        ('<dl><dt class="sig sig-object">f(x=&lt;object at 0x7f31c5&gt;)</dt></dl>', "memory address"),
    ],
)
def test_a_planted_fault_is_found_once_and_names_its_page(build, planted, word):
    faults = build(planted)
    assert len(faults) == 1
    assert word in faults[0]
    assert faults[0].startswith("page.html: ")


@pytest.mark.parametrize(
    "link", ["/course/other.html#there", "https://a.org/course/other.html", "https://b.org/no.html"]
)
def test_a_link_to_the_sites_own_address_is_followed(tmp_path, link):
    (tmp_path / "404.html").write_text(f'<a href="{link}">x</a>')
    (tmp_path / "other.html").write_text('<h1 id="there">Other</h1>')
    assert check_site(tmp_path, base="https://a.org/course/") == []
    (tmp_path / "other.html").unlink()
    assert len(check_site(tmp_path, base="https://a.org/course/")) == ("other" in link)


@pytest.mark.parametrize("line", ["  execution_mode: 'off'", "tags: [skip-execution]"])
def test_a_page_kept_from_running_is_found(build, line):
    (fault,) = build(source=f"---\n{line}\n---\n")
    assert fault.startswith("docs/page.md: kept from running")
