"""The contents at the side: made once for a folder, and yet what the theme would make for each page."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bs4 import BeautifulSoup
from built_site import ROOT
from test_faults import PYTHON

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs" / "_ext")!r})
project = "small"
extensions = ["myst_parser", {{sidebar}}]
html_theme = "furo"
html_use_index = False
"""
PAGES = {
    "index.md": "# Home\n\n```{toctree}\n:caption: First & last\n:hidden:\n\na/index\nb/index\n```\n"
    "\n```{toctree}\n:hidden:\n\nb/two\n```\n",
    "a/index.md": "# A “quoted” < title\n\n```{toctree}\none\n/b/two\n```\n",
    "a/one.md": "# One\n\n## A section\n\nText.\n",
    "b/index.md": "# B\n\n```{toctree}\ndeep/index\n```\n",
    "b/two.md": "# Two, which stands in the tree twice\n\n",
    "b/deep/index.md": "# Deep\n\n```{toctree}\nend\n```\n",
    "b/deep/end.md": "# End\n",
    "b/alone.md": "---\norphan: true\n---\n# In no tree\n",
}


def tree(page: Path) -> list:
    """Read the tree of a page: every element's name, attributes and own words, without the class of the page's places."""
    found = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one(".sidebar-tree")
    for item in found.select(".current-page"):
        item["class"].remove("current-page")
    return [
        (
            tag.name,
            {key: sorted(value) if isinstance(value, list) else value for key, value in tag.attrs.items()},
            tag.string,
        )
        for tag in found.find_all(True)
    ]


def build(folder: Path, sidebar: str) -> Path:
    """Build the small site, with this extension."""
    for name, text in {"conf.py": CONF.format(sidebar=sidebar), **PAGES}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    command = [PYTHON, "-m", "sphinx", "-q", "-W", folder, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_has_the_tree_that_the_theme_alone_would_give_it(tmp_path):
    ours, theirs = build(tmp_path / "ours", '"sidebar"'), build(tmp_path / "theirs", "")
    names = [Path(name).with_suffix(".html") for name in PAGES] + [Path("search.html")]
    for name in names:
        assert tree(ours / name) == tree(theirs / name), name
    assert (ours / "b" / "two.html").read_text(encoding="utf-8").count("current-page") == 2
