"""Where several versions stand beside each other a page leads to its like in the others; a local build shows nothing."""

from __future__ import annotations

import shutil
import sys

import pytest
from built_site import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import assemble_site

PAGE = "tutorial/index.html"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Assemble the built site as `dev`, and without one page as a release."""
    top = tmp_path_factory.mktemp("versions")
    if not (ROOT / "docs" / "_build" / "html" / "index.html").exists():
        pytest.fail("there is no site; build it with `nox -s docs`")
    for name in ("dev", "1.0.0"):
        shutil.copytree(ROOT / "docs" / "_build" / "html", top / "sites" / name)
    (top / "sites" / "1.0.0" / "tutorial" / "batch.html").unlink()
    assemble_site.assemble(top / "sites", top / "assembled")
    return top / "assembled"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_leads_to_its_like_in_another_version(visit, versions, scheme):
    seen = visit(versions.as_uri() + "/", f"dev/{PAGE}", scheme=scheme)
    switcher = seen.page.locator(".version-switcher")
    assert switcher.locator("summary").inner_text() == "Version: dev"
    switcher.locator("summary").click()
    assert switcher.locator("a").all_inner_texts() == ["dev", "1.0 (1.0.0)", "stable (1.0.0)"]
    switcher.locator("a", has_text="1.0 (").click()
    seen.page.wait_for_load_state()
    assert seen.page.url == (versions / "1.0" / PAGE).as_uri()
    assert seen.page.locator(".version-switcher summary").inner_text() == "Version: 1.0 (1.0.0)"
    assert seen.outside == []
    assert seen.complaints == []


def test_a_page_that_another_version_lacks_leads_to_its_home(visit, versions):
    page = visit(versions.as_uri() + "/", "dev/tutorial/batch.html").page
    links = page.locator(".version-switcher a").evaluate_all("links => links.map((link) => link.href)")
    home = versions.as_uri()
    assert links == [f"{home}/dev/tutorial/batch.html", f"{home}/1.0/", f"{home}/stable/"]


def test_a_local_build_shows_no_switcher(visit, site):
    assert visit(site.as_uri() + "/", PAGE).page.locator(".version-switcher").count() == 0


def test_the_first_page_leads_to_the_newest_release(visit, versions):
    page = visit(versions.as_uri() + "/", "index.html").page
    page.wait_for_url("**/stable/**")
