"""The built site as files: every page whole, every link and download there."""

from __future__ import annotations

from build_site import base_url
from built_site import LISTS, SITE, content_pages, read, target
from check_site import check_site


def follow(name: str, href: str):
    return SITE / target(name, href)


def test_the_site_has_no_fault_that_the_build_checks(site):
    assert check_site(site, base=base_url()) == []


def test_the_next_links_lead_from_home_through_every_page(site):
    name, seen = "index.html", []
    while name not in seen:
        seen.append(name)
        link = read(name).select_one("a.next-page")
        if link is None:
            break
        name = follow(name, link["href"]).relative_to(site).as_posix()
    assert sorted(seen) == sorted({*content_pages()} - {*LISTS})


def test_no_file_of_the_site_names_a_folder_of_the_machine_that_built_it(site):
    folder = str(SITE.parents[2])
    texts = [
        path for path in site.rglob("*") if path.suffix in {".html", ".js", ".json", ".css", ".txt", ".ipynb", ".py"}
    ]
    assert [path.name for path in texts if folder in path.read_text(encoding="utf-8")] == []
