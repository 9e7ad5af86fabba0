"""The built site as files: every page whole, every link and download there."""

from __future__ import annotations

import ast
import json
import posixpath
import re

import publishing
import pytest
from bs4 import BeautifulSoup
from built_site import SITE, content_pages, gallery_pages, pages
from check_site import check_site

STAMP = re.compile(r"Built with gdexplain \S+, Keras \d\S+, TensorFlow \d\S+, NumPy \d\S+, Python 3\.\d+\.")


def soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / name).read_text(encoding="utf-8"), "html.parser")


def follow(name: str, href: str):
    return SITE / posixpath.normpath(posixpath.join(posixpath.dirname(name), href.split("#", maxsplit=1)[0]))


def test_the_site_has_no_fault_that_the_build_checks(site):
    assert [str(fault) for fault in check_site(site, base=publishing.base_url())] == []


@pytest.mark.parametrize("name", pages())
def test_a_page_names_the_versions_it_was_built_with(name):
    stamp = soup(name).select_one(".version-stamp")
    assert stamp is not None
    assert STAMP.fullmatch(stamp.get_text())


@pytest.mark.parametrize("name", content_pages())
def test_a_page_links_to_its_source_and_the_source_is_there(name):
    link = soup(name).select_one("a.page-source")
    assert link is not None
    assert follow(name, link["href"]).is_file()


@pytest.mark.parametrize("name", content_pages())
def test_a_page_leads_on_to_a_neighbour(name):
    links = soup(name).select("a.next-page, a.prev-page")
    assert links
    assert all(follow(name, link["href"]).is_file() for link in links)


def test_the_next_links_lead_from_home_through_every_page(site):
    name, seen = "index.html", []
    while name not in seen:
        seen.append(name)
        link = soup(name).select_one("a.next-page")
        if link is None:
            break
        name = follow(name, link["href"]).relative_to(site).as_posix()
    assert sorted(seen) == sorted(content_pages())


@pytest.mark.parametrize("name", content_pages())
def test_a_page_has_one_first_heading(name):
    assert len(soup(name).select("article h1")) == 1


@pytest.mark.parametrize("name", gallery_pages())
def test_a_gallery_page_offers_its_script_and_its_notebook(name):
    links = {link["href"].rsplit(".", 1)[-1]: link["href"] for link in soup(name).select("a.download")}
    ast.parse(follow(name, links["py"]).read_text(encoding="utf-8"))
    assert json.loads(follow(name, links["ipynb"]).read_text(encoding="utf-8"))["cells"]


def test_the_gallery_has_pages():
    assert gallery_pages()


def test_no_file_of_the_site_names_a_folder_of_the_machine_that_built_it(site):
    folder = str(SITE.parents[2])
    texts = [
        path for path in site.rglob("*") if path.suffix in {".html", ".js", ".json", ".css", ".txt", ".ipynb", ".py"}
    ]
    assert [path.name for path in texts if folder in path.read_text(encoding="utf-8")] == []
