"""Every download of the built site: it says what it needs, and it runs in an empty folder.

Some are run each time; `nox -s downloads` runs all of them.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import os
import posixpath
import re
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import clean_run
import gallery_order
import jinja2
import page_notebooks
import pytest
import runnable
from bs4 import BeautifulSoup
from built_site import ROOT, SITE, content_pages, gallery_pages
from built_site import read as soup
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

import gdexplain

FOLDER = SITE / "downloads"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EVERY = os.environ.get("GDEXPLAIN_DOWNLOADS") == "every"
# The expression that PEP 723 gives.
BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
ARCHIVE = FOLDER / "gdexplain-examples.zip"


def notebook_pages() -> list[str]:
    """List the pages of the course that run: those with code cells, but for those about the project's own files."""
    pages = [name for name in content_pages() if not name.startswith("project/")]
    return [name for name in pages if 'class="cell_input' in (SITE / name).read_text(encoding="utf-8")]


def script_of(page: str) -> str:
    return page.rsplit("/", 1)[1].replace(".html", ".py")


def notebook_of(page: str) -> str:
    name = page.removesuffix(".html")
    return f"{name.rsplit('/', 1)[1] if page in gallery_pages() else name.replace('/', '-')}.ipynb"


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def metadata(script: str) -> dict:
    """Read the metadata of a script as PEP 723 asks tools to."""
    (block,) = (found for found in BLOCK.finditer(script) if found["type"] == "script")
    return tomllib.loads(
        "".join(line[2:] if line.startswith("# ") else line[1:] for line in block["content"].splitlines(True))
    )


def wheel():
    (path,) = FOLDER.glob("*.whl")
    return path


def cells(name: str) -> list[dict]:
    return json.loads(read(name))["cells"]


def box(page: str):
    """Give what a page says about running it: its commands and its downloads."""
    details = soup(page).select_one("article details.run-page")
    commands = {pre["data-run"]: pre.get_text().strip() for pre in details.select("pre")}
    return commands, [link["href"] for link in details.select("a.download")]


SCRIPTS = {page: script_of(page) for page in gallery_pages()}
NOTEBOOKS = {page: notebook_of(page) for page in [*gallery_pages(), *notebook_pages()]}
COMPANIONS = [Path(name).name for name in gallery_order.COMPANIONS]
every_script = pytest.mark.parametrize("page", SCRIPTS, ids=SCRIPTS.get)
DATA = {"practice/own_data.html": "flats.csv", "practice/questions.html": "questions.toml"}  # what a page reads
every_notebook = pytest.mark.parametrize("page", NOTEBOOKS, ids=NOTEBOOKS.get)


# -- what they say ----------------------------------------------------------------------------------------------------


def test_the_folder_holds_a_download_for_every_page_that_runs_and_nothing_else(site):
    wanted = {*SCRIPTS.values(), *NOTEBOOKS.values(), *COMPANIONS, *DATA.values(), wheel().name, ARCHIVE.name}
    assert {path.name for path in FOLDER.iterdir()} == wanted
    assert len(SCRIPTS) > 20
    assert len(NOTEBOOKS) > 30


@every_script
def test_a_script_says_what_it_needs(page):
    needs = metadata(read(SCRIPTS[page]))
    assert needs["requires-python"] == PROJECT["requires-python"]
    (requirement,) = map(Requirement, needs["dependencies"])
    assert requirement.name == "gdexplain"
    assert requirement.extras <= {*PROJECT["optional-dependencies"]}
    if not requirement.url:
        assert requirement.specifier.contains(gdexplain.__version__)
        assert (FOLDER / needs["tool"]["uv"]["sources"]["gdexplain"]["path"]).is_file()


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_script_that_is_no_page_says_what_it_needs_wherever_it_is_linked(name):
    assert Requirement(metadata(read(name))["dependencies"][0]).extras == {"cpu"}
    links = [path.read_text(encoding="utf-8") for path in (SITE / "_downloads").glob(f"*/{name}")]
    assert links == [read(name)]


@every_script
def test_a_script_is_its_source_and_what_it_needs_to_run(page):
    source = (ROOT / "examples" / page.removeprefix("gallery/")).with_suffix(".py").read_text(encoding="utf-8")
    download = read(SCRIPTS[page])
    assert "sphinx_gallery_" not in download
    assert ast.get_docstring(ast.parse(download)) == ast.get_docstring(ast.parse(source))
    shown, also = (ast.dump(ast.parse(text)) for text in (source, download))
    assert also.startswith(shown[: shown.rindex("Expr(value=Call(func=Attribute(value=Name(id='plt'")])


def test_the_wheel_is_the_package_as_it_is_in_this_folder(site):
    name, version, _, _ = parse_wheel_filename(wheel().name)
    assert (name, str(version)) == ("gdexplain", gdexplain.__version__)
    with zipfile.ZipFile(wheel()) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    info = next(entry for entry in files if entry.endswith("/METADATA")).rpartition("/")[0]
    said = Parser().parsestr(files[f"{info}/METADATA"].decode())
    assert said["Version"] == gdexplain.__version__
    assert SpecifierSet(said["Requires-Python"]) == SpecifierSet(PROJECT["requires-python"])
    for path, digest, _ in csv.reader(io.StringIO(files[f"{info}/RECORD"].decode())):
        if digest:
            found = base64.urlsafe_b64encode(hashlib.sha256(files[path]).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={found}"
    package = {path: content for path, content in files.items() if not path.startswith(info)}
    there = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "gdexplain").rglob("*") if path.is_file()}
    assert package == {name: path.read_bytes() for name, path in there.items() if "__pycache__" not in name}


@every_notebook
def test_a_notebook_installs_what_it_needs_in_its_first_cell(page):
    first, *rest = cells(NOTEBOOKS[page])
    assert first["cell_type"] == "code"
    (line,) = re.findall(r"^ +%pip install --quiet \"(.+)\"$", first["source"], re.MULTILINE)
    assert posixpath.basename(line).startswith(wheel().name) or line.endswith(wheel().name)
    uses = ast.literal_eval(re.search(r"^uses = (.+)$", first["source"], re.MULTILINE)[1])
    assert uses.pop("gdexplain") == ""
    assert {*uses.values()} <= {*PROJECT["optional-dependencies"]}
    assert "use_style()" in first["source"] + "".join(cell["source"] for cell in rest if cell["cell_type"] == "code")


@every_notebook
def test_a_notebook_is_a_valid_one_without_outputs(page):
    notebook = json.loads(read(NOTEBOOKS[page]))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        wanted = {"id", "cell_type", "metadata", "source"}
        assert {*cell} == (wanted | {"outputs", "execution_count"} if cell["cell_type"] == "code" else wanted)
        assert not cell.get("outputs")


@every_notebook
def test_a_notebook_says_nothing_that_only_sphinx_understands(page):
    text = "\n".join(cell["source"] for cell in cells(NOTEBOOKS[page]) if cell["cell_type"] == "markdown")
    assert (
        re.findall(r"\{[\w:]+\}`|(?<!\w):[\w:]+:`|^\.\. \w+::|^:::|^`{3,}\{|sphx_glr|\]\([^)]*\.md", text, re.MULTILINE)
        == []
    )
    code = "\n".join(cell["source"] for cell in cells(NOTEBOOKS[page]) if cell["cell_type"] == "code")
    assert re.findall(r"myst_nb|\bglue\(|sphinx_gallery", code) == []


@every_notebook
def test_a_page_offers_what_there_is_to_download_and_says_how_to_run_it(page):
    commands, links = box(page)
    names = {posixpath.basename(link) for link in links}
    wanted = {NOTEBOOKS[page], wheel().name} | ({SCRIPTS[page]} if page in SCRIPTS else set())
    assert names | {wheel().name} == wanted | ({DATA[page]} if page in DATA else set())
    assert all((SITE / posixpath.dirname(page) / link).resolve().parent == FOLDER for link in links)
    assert commands["jupyter"].endswith(f"jupyter-lab {NOTEBOOKS[page]}")
    assert ("uv" in commands) == ("pip" in commands) == (page in SCRIPTS)
    if page in SCRIPTS:
        assert commands["uv"] == f"uv run {SCRIPTS[page]}"
        assert f"python {SCRIPTS[page]}" in commands["pip"].splitlines()


def test_the_archive_holds_the_folder_and_says_how_to_run_it(site):
    with zipfile.ZipFile(ARCHIVE) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
        assert list(entries) == sorted(entries)
    said = entries.pop(f"{ARCHIVE.stem}/README.txt").decode()
    there = {f"{ARCHIVE.stem}/{path.name}": path.read_bytes() for path in FOLDER.iterdir() if path != ARCHIVE}
    assert {*entries} == {*there}
    for name in {*SCRIPTS.values(), *NOTEBOOKS.values()}:
        assert re.search(rf"^{re.escape(name)}\n    \S", said, re.MULTILINE)
    for name in SCRIPTS.values():
        needs = metadata(entries[f"{ARCHIVE.stem}/{name}"].decode())
        assert f"{ARCHIVE.stem}/{needs['tool']['uv']['sources']['gdexplain']['path']}" in entries
    assert "    uv run plot_" in said
    _, links = box("gallery/index.html")
    assert [posixpath.basename(link) for link in links] == [ARCHIVE.name]


# -- what a deployment adds -------------------------------------------------------------------------------------------


def package(base: str = "") -> runnable.Package:
    return runnable.Package(gdexplain.__version__, PROJECT["requires-python"], wheel().name, base)


def rendered(base: str = "", repository: str = "") -> BeautifulSoup:
    template = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "docs" / "_templates"))
    words = runnable.box(
        package(base),
        runnable.Repository.named(repository),
        stem="plot_a",
        extras=["cpu"],
        script=True,
        up="../downloads",
        data=[],
    )
    return BeautifulSoup(template.get_template("run_page.html").render(words), "html.parser")


def test_a_script_names_the_wheel_by_its_address_where_the_site_has_one():
    source = "from gdexplain import train, use_style\n\nuse_style()\nplt.show()\n"
    needs = metadata(package("https://example.org/downloads/").script(source, "plot_a"))
    (requirement,) = map(Requirement, needs["dependencies"])
    assert requirement.url == f"https://example.org/downloads/{wheel().name}"
    assert requirement.extras == {"cpu"}
    assert "tool" not in needs


def test_a_page_of_a_site_with_an_address_needs_no_second_download():
    names = [
        link["href"].rpartition("/")[2] for link in rendered("https://example.org/downloads/").select("a.download")
    ]
    assert names == ["plot_a.py", "plot_a.ipynb"]
    assert wheel().name in [link["href"].rpartition("/")[2] for link in rendered().select("a.download")]


def test_links_to_colab_and_binder_appear_with_the_repository_and_not_before():
    hosts = ("colab.research.google.com", "mybinder.org")
    assert not any(host in str(rendered("https://example.org/downloads/")) for host in hosts)
    links = {
        link.get_text(): link["href"] for link in rendered(repository="someone/site@pages").select("a[href^=https]")
    }
    assert links["Colab"] == f"https://{hosts[0]}/github/someone/site/blob/pages/downloads/plot_a.ipynb"
    assert links["Binder"] == f"https://{hosts[1]}/v2/gh/someone/site/pages?labpath=downloads%2Fplot_a.ipynb"


def test_this_build_names_no_service_unless_it_was_told_a_repository():
    text = "".join((SITE / page).read_text(encoding="utf-8") for page in NOTEBOOKS)
    assert ("mybinder.org" in text) == bool(os.environ.get("GDEXPLAIN_REPOSITORY"))


@pytest.mark.parametrize("wrong", ["name", "a/b/c", "https://example.org/a/b", "a /b"])
def test_a_repository_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="owner/name"):
        runnable.Repository.named(wrong)


@pytest.mark.parametrize(
    ("code", "extras"),
    [
        ("import numpy", []),
        ("from gdexplain.by_hand.tape import Value", []),
        ("from gdexplain import descend, rules", []),
        ("from gdexplain import train", ["cpu"]),
        ("from gdexplain.in_keras.objective import sharpness", ["cpu"]),
        ("from keras.optimizers import SGD", ["cpu"]),
        ("from gdexplain import load_digits", ["data"]),
        ("from gdexplain import load_digits, train\nimport pandas", ["cpu", "data", "pandas"]),
    ],
)
def test_the_extras_of_a_script_follow_from_its_imports(code, extras):
    assert runnable.extras_of(code) == extras


@pytest.mark.parametrize("source", ["use_style()\n", "plt.show()\n", "use_style()\nplt.show()\nplt.show()\n"])
def test_a_script_whose_figures_would_not_appear_is_refused(source):
    with pytest.raises(ValueError, match=r"plot_a\.py must call use_style"):
        package().script(source, "plot_a")


NAMES = {  # of a site of two other pages
    "doc": {"/tutorial/batch": ("tutorial/batch", "*Batch*")},
    "ref": {"sphx_glr_gallery_rules_plot_adam.py": ("gallery/rules/plot_adam", "*Adam*")},
    "eq": {"b": "(2)"},
    "cite": {"robbins": "Robbins 1951", "a": "A 1952"},
    "glue": {"reach": "0.2"},
}


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("a {term}`step`", "a step"),
        ("{term}`steps <step>`", "steps"),
        ("some :term:`steps\n<step>`", "some steps"),
        ("{glue:text}`reach` away", "0.2 away"),
        ("{eq}`b` says", "(2) says"),
        ("$$\nx\n$$ (b)", "$$\nx\n\\tag*{(2)}\n$$"),
        ("{doc}`/tutorial/batch`", "*Batch*"),
        ("{doc}`there </tutorial/batch>`", "there"),
        ("[](batch.md)", "*Batch*"),
        ("[there](../tutorial/batch.md#x)", "there"),
        ("[far](https://example.org/)", "[far](https://example.org/)"),
        ("[far](https://example.org/)_ away", "[far](https://example.org/) away"),
        ("`sphx_glr_gallery_rules_plot_adam.py`", "*Adam*"),
        ("{ref}`sphx_glr_gallery_rules_plot_adam.py`", "*Adam*"),
        ("{py:func}`gdexplain.train`", "`gdexplain.train`"),
        (":class:`!Value`", "`Value`"),
        (":func:`~gdexplain.train`", "`train`"),
        ("{cite:t}`robbins`, {cite:p}`a,robbins`", "Robbins 1951, (A 1952; Robbins 1951)"),
        ("``x * x`` and `y`", "`x * x` and `y`"),
        ("```python\nx\n```", "```python\nx\n```"),
        ("a\n\n```{explorable} map\nwords\n```\n\nb", "a\n\n*An interactive figure stands here on the site.*\n\nb"),
        (":download:`x.py </../examples/x.py>` runs", "`x.py` runs"),
        (".. literalinclude:: /../x.py\n   :pyobject: f\n\nb", "*The site shows this part of `x.py` here.*\n\nb"),
        ("[a file](flats.csv)", "a file"),
        (":::{warning}\nno\n:::\n\nb", "no\n\nb"),
        (":::{dropdown} A half, $x$\nYes.\n:::\n\nb", "**A half, $x$**\n\nYes.\n\nb"),
        (".. dropdown:: A half\n\n   Yes.\n\nb", "**A half**\n\n   Yes.\n\nb"),
        ("```{math}\n:label: b\nx\n```", "$$\nx\n$$"),
        (".. index:: rate\n\nb", "b"),
        (".. explorable:: map\n\n   words\n\n   more\n\nb", "*An interactive figure stands here on the site.*\n\nb"),
    ],
)
def test_the_text_of_a_notebook_is_plain_markdown(said, plain):
    assert page_notebooks.plain(said, "tutorial/setup", NAMES) == plain


def test_a_notebook_links_to_pages_where_the_address_of_the_site_is_known():
    text = page_notebooks.plain("[](batch.md)", "tutorial/setup", NAMES, "https://example.org/")
    assert text == "[*Batch*](https://example.org/tutorial/batch.html)"


def test_lines_that_hand_numbers_to_a_page_are_left_out_of_its_notebook():
    code = 'from myst_nb import glue\n\nx = 1\nglue("x",\n     x)\nprint(x)'
    assert page_notebooks.drop_glue(code) == "x = 1\nprint(x)"
    assert page_notebooks.drop_glue('from myst_nb import glue\n\nglue("x", 1)') == ""
    assert page_notebooks.drop_glue('glue(\n    "x", 1\n)\nx = 1') == "x = 1"
    assert page_notebooks.drop_glue("%time x") == "%time x"


# -- that they run ----------------------------------------------------------------------------------------------------


def figures(page: str) -> int:
    """Count the figures of a page of the gallery, still and moving; the one on top is one of them."""
    found = soup(page).select("article img.sphx-glr-single-img.only-light, article video.only-light")
    return len({figure.get("src") or figure["poster"] for figure in found})


def extras(page: str) -> list[str]:
    """List the extras that a notebook asks for."""
    return re.findall(r'"\w+": "(\w+)"', cells(NOTEBOOKS[page])[0]["source"])


def save(server: str, name: str, folder):
    """Download a file, and the wheel that lies beside it.

    A site that knows its address names the wheel by it, and may be tested before it is there: the archive's copy is not.
    """
    path = clean_run.save(f"{server}downloads/{name}", folder)
    clean_run.save(f"{server}downloads/{wheel().name}", folder)
    if f"/{wheel().name}" in path.read_text(encoding="utf-8").replace(f"./{wheel().name}", ""):
        with zipfile.ZipFile(ARCHIVE) as archive:
            path.write_bytes(archive.read(f"{ARCHIVE.stem}/{name}"))


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    return clean_run.make_jupyter(tmp_path_factory.mktemp("jupyter"))


@pytest.mark.parametrize("page", SCRIPTS if EVERY else ["gallery/variants/plot_batch.html"], ids=SCRIPTS.get)
def test_a_script_runs_in_an_empty_folder_by_the_command_on_its_page(server, tmp_path, page):
    commands, _ = box(page)
    save(server, SCRIPTS[page], tmp_path)
    clean_run.run_script(commands, tmp_path / SCRIPTS[page])
    drawn = [path.read_bytes() for path in tmp_path.glob("*.png")]
    assert len(drawn) == figures(page) > 0
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)


@pytest.mark.skipif(not EVERY, reason="nox -s downloads runs it, and a test of the package runs its source")
@pytest.mark.parametrize("name", COMPANIONS)
def test_a_script_that_is_no_page_runs_in_an_empty_folder_too(server, tmp_path, name):
    save(server, name, tmp_path)
    commands = package().commands(Path(name).stem, ["cpu"])
    clean_run.run_script(commands, tmp_path / name)


# Those that ask for least come first: what one installs, the next would find.
@pytest.mark.parametrize(
    "page",
    sorted(NOTEBOOKS, key=lambda page: len(extras(page)))
    if EVERY
    else ["practice/questions.html"],  # it asks for little, and reads a file
    ids=NOTEBOOKS.get,
)
def test_a_notebook_runs_from_top_to_bottom_where_nothing_is_installed(server, tmp_path, jupyter, page):
    save(server, NOTEBOOKS[page], tmp_path)
    if page in DATA:
        clean_run.save(f"{server}downloads/{DATA[page]}", tmp_path)
    clean_run.run_notebook(jupyter, tmp_path / NOTEBOOKS[page])


def test_every_figure_of_a_script_is_open_when_its_windows_appear(tmp_path):
    backend = [
        "from matplotlib.backend_bases import FigureManagerBase",
        "from matplotlib.backends.backend_agg import FigureCanvasAgg",
        "class FigureManager(FigureManagerBase):",
        "    def show(self):",
        "        print('window', self.num, 'opens')",
        "class FigureCanvas(FigureCanvasAgg):",
        "    manager_class = FigureManager",
    ]
    (tmp_path / "windows.py").write_text("\n".join(backend), encoding="utf-8")
    clean = {"MPLBACKEND": "module://windows", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    script = FOLDER / "plot_noise_floor.py"
    said = clean_run.run(f"{sys.executable} {script}", tmp_path, **clean)
    assert [line for line in said.splitlines() if "window" in line] == [
        f"window {number} opens" for number in (1, 2, 3)
    ]
    assert not list(tmp_path.glob("*.png"))


def test_a_script_that_names_the_wheel_by_its_address_runs_alone(server, tmp_path):
    source = (ROOT / "examples" / "variants" / "plot_noise_floor.py").read_text(encoding="utf-8")
    here = package(f"{server}downloads/")
    (tmp_path / "plot_a.py").write_text(here.script(source, "plot_a"), encoding="utf-8")
    clean_run.run_script(here.commands("plot_a", []), tmp_path / "plot_a.py")
    assert list(tmp_path.glob("*.png"))
