"""How the site is built. The reasons stand beside the settings; the pieces of our own are in `_ext`."""

import os
import re
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WORK = DOCS / "_build"  # what Sphinx keeps from build to build; `nox -s docs` publishes to _build/html
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS), str(ROOT)]

from build_site import base_url  # it is found through the line above
from gallery_order import COMPANIONS

# -- the project ------------------------------------------------------------------------------------------------------
from gdexplain import __version__ as version

project = "gdexplain"
author = "the gdexplain authors"
release = version
language = "en"
html_title = "gdexplain"
html_baseurl = base_url()  # GDEXPLAIN_BASE_URL, the one place that says where the site will be

extensions = [
    "myst_nb",
    "execute",  # after MyST-NB, whose settings it needs, and before sphinx-gallery, which reads what it has made
    "explorables",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "sphinxext.opengraph",
    # our own
    "animation",
    "api_pages",
    "downloads",
    "fold",
    "gallery",
    "katex_offline",
    "names",  # after sphinx-gallery, whose links it extends
    "page_frame",
    "slides",
    "tables",
    "translations",
]
exclude_patterns = [
    "_build",
    "**/.ipynb_checkpoints",
    "gallery/backreferences",
    "gallery/**.ipynb",  # MyST-NB would execute every example a second time; the .rst beside each is the page
    "**/sg_execution_times.*",
    "sg_execution_times.*",
    "node_modules",
]
templates_path = ["_templates"]
template_bridge = "page_finish.FinishedPages"  # landmarks, images
ogp_site_url = html_baseurl
ogp_enable_meta_description = True  # the claim and what the first figure shows; a page may name its own in `html_meta`
ogp_social_cards = {"enable": bool(html_baseurl), "line_color": "#0072b2"}  # a card is an absolute address or nothing
if html_baseurl:
    extensions.append("sphinx_sitemap")
    sitemap_url_scheme = "{link}"
    sitemap_locales = [None]  # a translated page is a page of the site, with its own address
    sitemap_excludes = [f"{name}.html" for name in ("404", "search", "genindex", "py-modindex")]
nitpicky = True
nitpick_ignore_regex = [
    # The inventories in docs/inventories hold what the pages' code uses; other names of other projects stay plain text.
    ("py:.*", r"(numpy|np|keras|tensorflow|tf|matplotlib|pandas|scipy|collections|typing|pathlib|os)(\..*)?"),
    (
        "py:class",
        r"(Path|PathLike|Axes|Figure|Artist|Line2D|Animation|FuncAnimation|DataFrame|optional|array_like|ndarray)",
    ),
]

# -- code that runs ---------------------------------------------------------------------------------------------------

execute_imports = ["keras", "sklearn.datasets"]  # slow; TensorFlow comes with Keras

# -- pages with cells: MyST-NB ------------------------------------------------------------------------------------------

myst_enable_extensions = [
    "amsmath",
    "attrs_block",
    "attrs_inline",
    "colon_fence",
    "deflist",
    "dollarmath",
    "substitution",
]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "cache"
nb_execution_cache_path = str(WORK / "cache")  # `execute` puts the results here
nb_merge_streams = True
nb_output_stderr = "warn"  # C++ log lines and Python warnings land here; -W makes them errors

# -- scripts: sphinx-gallery -----------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": "|".join(re.escape(Path(name).name) for name in COMPANIONS),  # no pages; gallery_order says why
    "subsection_order": "gallery.section_order",
    "within_subsection_order": "gallery.ScriptOrder",
    "plot_gallery": False,  # `execute` has run the scripts, side by side
    "image_scrapers": ("figures.scrape",),
    "reset_modules": ("matplotlib", "figures.reset"),
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "thumbnail_size": (400, 280),
    "backreferences_dir": "gallery/backreferences",  # which script uses which name: shown on the name's page
    "doc_module": ("gdexplain",),
    "download_all_examples": False,  # ours, from _ext/downloads.py, run anywhere
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": float("inf"),  # a time on the page would differ from build to build
    "write_computation_times": False,
    "copyfile_regex": r".*\.rst",
}

# -- the API ----------------------------------------------------------------------------------------------------------

autosummary_generate = False  # a page a room, written by hand, not one a name
autodoc_inherit_docstrings = False  # Keras writes its docstrings in another format
autodoc_typehints = "none"  # numpydoc's Parameters carry types, shapes and units
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False  # autodoc lists them, with their docstrings
numpydoc_validation_checks = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]["checks"]
)
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

# Names in code lead to other projects. The build reads nothing from the network: the inventories are files of ours, in the
# first and plain format of Sphinx, and hold only what the pages use.
intersphinx_mapping = {
    name: (address, f"inventories/{name}.txt")
    for name, address in {
        "keras": "https://keras.io/",
        "matplotlib": "https://matplotlib.org/stable/",
        "numpy": "https://numpy.org/doc/stable/",
        "tensorflow": "https://www.tensorflow.org/",
    }.items()
}

# -- citations and mathematics ----------------------------------------------------------------------------------------

bibtex_bibfiles = ["reference/references.bib"]
bibtex_default_style = "plain"
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"), "doi": ("https://doi.org/%s", "doi:%s")}
html_math_renderer = "katex"

# -- the look ---------------------------------------------------------------------------------------------------------

# What a deployment knows and a build on your own machine does not: the public repository whose branch holds the site
# (owner/name, or owner/name@branch), for links to Colab and Binder.
gdexplain_repository = os.environ.get("GDEXPLAIN_REPOSITORY", "")

html_theme = "furo"
html_theme_options = {
    "top_of_page_buttons": ["view"],  # the page's own source, shipped with the site
    "light_css_variables": {"color-brand-primary": "#0060a0", "color-brand-content": "#0060a0"},
    "dark_css_variables": {"color-brand-primary": "#6cb6ee", "color-brand-content": "#6cb6ee"},
}
html_static_path = ["_static", str(WORK / "katex" / "static")]
html_css_files = ["custom.css", ("print.css", {"media": "print"})]  # a phone waits for each sheet of the first kind
html_js_files = [(name, {"defer": "defer"}) for name in ("scrollers.js", "visited.js", "enlarge.js", "slider.js")]
html_copy_source = True
html_show_sourcelink = True
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
pygments_style = "github-light-high-contrast"  # of accessible-pygments: each colour has the contrast that WCAG asks for
pygments_dark_style = "github-dark-high-contrast"
copybutton_exclude = ".linenos, .gp, .go"
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False  # many sites build their anchors with scripts
