"""Downloads that run anywhere: wheel, scripts with metadata, notebooks; sphinx-gallery's need the package installed.

They lie together in `downloads/` of the site, and together in one archive, so that a folder is all that they need. Where
the deployment gives the site's address (`html_baseurl`), they name the wheel by that address and need nothing beside
them. The sources stay clean: what makes a file run elsewhere is added here.
"""

from __future__ import annotations

import ast
import filecmp
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gallery_order
import page_notebooks
from checks import cells
from runnable import Package, Repository, box, extras_of, in_words
from sphinx.errors import ConfigError, ExtensionError

import gdexplain

FOLDER = "downloads"
ARCHIVE = "gdexplain-examples.zip"
_FIRST = gallery_order.ORDER["variants"][0].removesuffix(".py")  # what the archive's commands run
_ALL = ["cpu", "data"]  # the extras that the examples use, taken together
_DATE = (2026, 1, 1, 0, 0, 0)  # of everything in the archive: the same content is the same file
_README = """\
Every example of the gdexplain site, to run and to change
=========================================================

Unpack this archive and open a terminal in its folder. You need Python {python}.

With uv (https://docs.astral.sh/uv/), one command makes an environment and runs a script:

    uv run {first}

With pip, in an environment of your own:

    pip install "./{wheel}[{extras}]"
    python {first}

The notebooks (.ipynb) are for Jupyter. The first cell of each installs what it needs, from this folder:

    uvx --from jupyterlab --with "./{wheel}[{extras}]" jupyter-lab

{wheel} is the package that all of them use. Keep it beside them.

Scripts
-------

{scripts}

Notebooks
---------

{notebooks}
"""

# -- what there is to download ----------------------------------------------------------------------------------------


def is_example(docname: str) -> bool:
    """Tell whether a page was made from a script of the gallery."""
    return docname.startswith("gallery/") and docname.rpartition("/")[2].startswith("plot_")


def stem(docname: str) -> str:
    """Name the download of a page: scripts keep their name, a notebook says which part of the course it is from."""
    return docname.rpartition("/")[2] if is_example(docname) else docname.replace("/", "-")


def executed(app, docname: str) -> Path | None:
    """Find the notebook that MyST-NB left of a page that runs."""
    if docname.startswith("project/"):  # these read the project's own files, which nobody has who saves a page
        return None
    path = Path(app.env.mystnb_config.output_folder) / f"{docname}.ipynb"
    source = Path(app.env.doc2path(docname))
    runs = path.exists() and source.suffix == ".md" and "{code-cell}" in source.read_text(encoding="utf-8")
    return path if runs else None


def runnable_pages(app) -> Iterator[str]:
    """List the pages that have something to download, in a fixed order."""
    return (name for name in sorted(app.env.found_docs) if is_example(name) or executed(app, name))


def code_of(app, docname: str) -> str:
    """Read the code of a page."""
    if is_example(docname):
        return script_of(app, docname).read_text(encoding="utf-8")
    code = "\n".join(source for _, source in cells(Path(app.env.doc2path(docname))))
    return re.sub(r"^[ \t]*[%!].*$", "pass", code, flags=re.MULTILINE)  # IPython's own


def data_of(app, docname: str) -> list[Path]:
    """List the files that a page's code reads from beside it."""
    if is_example(docname):
        return []
    named = re.findall(r"""["']([\w-]+\.(?:csv|toml))["']""", code_of(app, docname))
    there = (Path(app.env.doc2path(docname)).with_name(name) for name in sorted({*named}))
    return [path for path in there if path.exists()]


def script_of(app, docname: str) -> Path:
    """Find the source of a page of the gallery."""
    return Path(app.srcdir).parent / "examples" / f"{docname.removeprefix('gallery/')}.py"


# -- the package ------------------------------------------------------------------------------------------------------


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the project's wheel, unless the one that is there was made of the same files."""
    made_of = [root / name for name in ("pyproject.toml", "README.md", "LICENSE", "requirements/docs.txt")]
    made_of += [path for path in (root / "gdexplain").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted(made_of):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    folder = folder / digest.hexdigest()[:16]
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        hook = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
        done = subprocess.run([sys.executable, "-c", hook], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            raise ExtensionError(f"the project's wheel could not be built:\n{done.stderr}")
    return next(folder.glob("*.whl"))


def base_address(app) -> str:
    """Give the address of the site, with a slash; where only its repository is known, that of the files there."""
    base = app.config.html_baseurl
    if not base and app.gdexplain_repository:
        base = app.gdexplain_repository.address()
    return base.rstrip("/") + "/" if base else ""


def find_package(app) -> None:
    """Build the wheel and note where readers will find it."""
    root = Path(app.srcdir).parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    app.gdexplain_repository = Repository.named(app.config.gdexplain_repository)
    app.gdexplain_wheel = build_wheel(root, Path(app.outdir).parent / "wheel")
    base = base_address(app)
    app.gdexplain_package = Package(
        gdexplain.__version__, project["requires-python"], app.gdexplain_wheel.name, base and f"{base}{FOLDER}/"
    )


# -- the box on each page ---------------------------------------------------------------------------------------------

_NOTE = re.compile(
    r"^\.\. only:: html\n\n    \.\. note::\n        :class: sphx-glr-download-link-note\n(?:\n|    .*\n)*", re.MULTILINE
)
_LINKS = re.compile(r"^\.\. _sphx_glr_download_\S+:\n(?:.*\n)*", re.MULTILINE)


def drop_download_links(app, docname, source):
    """Remove sphinx-gallery's links to its own downloads: the box has ours."""
    if is_example(docname):
        source[0] = _LINKS.sub("", _NOTE.sub("", source[0]))


_BELOW = re.compile(r"</h1>(\s*<p><em>.*?</em></p>)?", re.DOTALL)


def add_box(app, pagename, templatename, context, doctree):
    """Say below the title, and below the claim if there is one, how to run the page."""
    if doctree is None or not (pagename == "gallery/index" or is_example(pagename) or executed(app, pagename)):
        return
    whole = pagename == "gallery/index"
    words = box(
        replace(app.gdexplain_package, base="") if whole else app.gdexplain_package,
        None if whole else app.gdexplain_repository,
        stem=_FIRST if whole else stem(pagename),
        extras=_ALL if whole else extras_of(code_of(app, pagename)),
        script=whole or is_example(pagename),
        up="../" * pagename.count("/") + FOLDER,
        data=[] if whole else [path.name for path in data_of(app, pagename)],
    )
    shown = app.builder.templates.render("run_page.html", {**words, "archive": ARCHIVE if whole else ""})
    context["body"] = _BELOW.sub(lambda top: f"{top.group()}\n{shown}", context["body"], count=1)


# -- the files --------------------------------------------------------------------------------------------------------


def names_of(app) -> dict[str, dict]:
    """Gather what the text of a page may name: pages and labels with their titles, equations, papers."""
    env = app.env
    std, math, cite = (env.get_domain(name) for name in ("std", "math", "cite"))
    return {
        "doc": {f"/{page}": (page, f"*{title.astext()}*") for page, title in env.titles.items()},
        "ref": {name: (page, f"*{title}*") for name, (page, _, title) in std.labels.items()},
        "eq": {label: f"({number})" for label, (_, number) in math.equations.items()},
        "cite": {key: f"{authors(paper)} {paper.fields['year']}" for key, paper in cite.bibdata.data.entries.items()},
    }


def authors(entry) -> str:
    """Name one or two authors, or the first of more."""
    names = [" ".join(person.last_names).strip("{}") for person in entry.persons["author"]]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def make_files(app, package: Package) -> dict[str, str]:
    """Write every script and every notebook, by file name."""
    files: dict[str, str] = {}
    names = names_of(app)
    for docname in runnable_pages(app):
        name = stem(docname)
        if f"{name}.ipynb" in files:
            raise ConfigError(f"two pages would be downloaded as {name}: {docname} and another; rename one")
        source = code_of(app, docname)
        cell = package.install_cell(extras_of(source))
        if is_example(docname):
            files[f"{name}.py"] = package.script(source, name)
            path = Path(app.srcdir) / f"{docname}.ipynb"
        else:
            path, cell = executed(app, docname), cell + page_notebooks.STYLE
        files[f"{name}.ipynb"] = page_notebooks.make(path, docname, names, app.config.html_baseurl, cell)
        files |= {path.name: path.read_text(encoding="utf-8") for path in data_of(app, docname)}
    for path in companions(app):
        files[path.name] = package.program(path.read_text(encoding="utf-8"), path.stem)
    return files


def companions(app) -> list[Path]:
    """List the scripts that are no pages and are shown on one."""
    return [Path(app.srcdir).parent / "examples" / name for name in gallery_order.COMPANIONS]


def readme(app, files: dict[str, str], package: Package) -> str:
    """Write what the archive says about itself."""
    titles = {stem(name): app.env.titles[name].astext() for name in runnable_pages(app)}
    for path in companions(app):
        titles[path.stem] = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")[0]
    lists = {
        suffix: "\n".join(f"{name}\n    {titles[Path(name).stem]}" for name in sorted(files) if name.endswith(suffix))
        for suffix in (".py", ".ipynb")
    }
    return _README.format(
        python=in_words(package.python),
        wheel=package.wheel,
        extras=",".join(_ALL),
        first=f"{_FIRST}.py",
        scripts=lists[".py"],
        notebooks=lists[".ipynb"],
    )


def write_downloads(app, exception) -> None:
    """Write the folder of downloads anew, and the archive, whose files find the wheel beside them."""
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir) / FOLDER
    there = folder / app.gdexplain_wheel.name
    if not app.gdexplain_wrote and there.exists() and filecmp.cmp(there, app.gdexplain_wheel, shallow=False):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    package = app.gdexplain_package
    local = replace(package, base="")
    packed = make_files(app, local)
    for name, text in (make_files(app, package) if package.base else packed).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for path in companions(app):  # what the page links to is Sphinx's copy of the source
        for copy in Path(app.outdir, "_downloads").glob(f"*/{path.name}"):
            shutil.copyfile(folder / path.name, copy)
    shutil.copyfile(app.gdexplain_wheel, folder / package.wheel)
    packed["README.txt"] = readme(app, packed, local)
    contents = {name: text.encode() for name, text in packed.items()}
    contents[package.wheel] = app.gdexplain_wheel.read_bytes()
    pack(folder / ARCHIVE, contents)
    shutil.rmtree(Path(app.outdir) / "binder", ignore_errors=True)
    if app.gdexplain_repository:
        prepare_binder(Path(app.outdir) / "binder", package)


def pack(path: Path, contents: dict[str, bytes]) -> None:
    """Write an archive whose bytes depend on its content alone, in one folder of its own name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(f"{path.stem}/{name}", _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def prepare_binder(folder: Path, package: Package) -> None:
    """Tell Binder, which builds its environment from the branch that holds the site, what to install."""
    folder.mkdir()
    (folder / "runtime.txt").write_text(f"python-{in_words(package.python).rpartition(' ')[2]}\n")
    (folder / "requirements.txt").write_text(f"./{FOLDER}/{package.wheel}[{','.join(_ALL)}]\n")


def setup(app):
    """Build the wheel first, add the boxes, write the files last."""
    app.add_config_value("gdexplain_repository", "", "html", str)
    app.connect("builder-inited", find_package)
    app.connect("source-read", drop_download_links)
    app.connect("html-page-context", add_box)
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
