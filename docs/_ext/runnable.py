"""What a reader needs to run one page anywhere, read off its imports: extras, the package, what to type."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import gdexplain

# What a page uses besides the package's own dependencies: extra, module that says whether it is there, how code shows it.
EXTRAS = {
    "cpu": ("tensorflow", None),  # see `_needs_tensorflow`
    "data": ("sklearn", re.compile(r"\bsklearn\b|\bload_(?:digits|diabetes)\b")),
    "pandas": ("pandas", re.compile(r"\bpandas\b|\bto_dataframe\b")),
    "animation": ("imageio_ffmpeg", re.compile(r"\bimageio_ffmpeg\b|\bFFMpegWriter\b|\bto_html5_video\b")),
    "cluster": ("distributed", re.compile(r"\bdistributed\b|\bbackend=\"dask\"")),
}
_SOURCE = Path(gdexplain.__file__).parent
_INSTALL = """\
# Install what this page uses, unless it is here already.
from importlib.util import find_spec

uses = {uses}
missing = [name for name in uses if find_spec(name) is None]
if missing:
    extras = ",".join(uses[name] for name in missing if uses[name])
    extras = f"[{{extras}}]" if extras else ""
    %pip install --quiet "{target}"
"""
_DRAWN = """
        plt.figure(number).canvas.draw()  # matplotlib warns of an animation that was never drawn"""
_SHOW = """\
if plt.get_backend().lower() == "agg":  # no window can open here: save the figures beside this script
    for number in plt.get_fignums():
        plt.figure(number).savefig(f"{stem}_{{number}}.png")
        print(f"figure {{number}}: {stem}_{{number}}.png"){drawn}
else:
    plt.show()
"""


@dataclass(frozen=True)
class Package:
    """The project's wheel as the site offers it; without `base` it lies beside the file that needs it."""

    version: str
    python: str  # what `requires-python` says
    wheel: str  # its file name
    base: str = ""  # the address of the folder that holds it, with the slash

    def pip_target(self, extras: str) -> str:
        """Say to pip what to install: an address, or the file in this folder."""
        if self.base:
            return f"gdexplain{extras} @ {self.base}{self.wheel}"
        return f"./{self.wheel}{extras}"

    def metadata(self, extras: list[str]) -> str:
        """Write the PEP 723 block of a script."""
        chosen = _bracket(extras)
        requirement = self.pip_target(chosen) if self.base else f"gdexplain{chosen}=={self.version}"
        lines = [f"requires-python = {json.dumps(self.python)}", f"dependencies = [{json.dumps(requirement)}]"]
        if not self.base:
            lines += ["", "[tool.uv.sources]", f"gdexplain = {{ path = {json.dumps(self.wheel)} }}"]
        return "\n".join(["# /// script", *(f"# {line}".rstrip() for line in lines), "# ///"])

    def commands(self, stem: str, extras: list[str]) -> dict[str, str]:
        """Say what to type: for the script with uv or pip, for windows, for the notebook."""
        target = self.pip_target(_bracket(extras))
        return {
            "uv": f"uv run {stem}.py",
            "pip": f'pip install "{target}"\npython {stem}.py',
            "windows": f"uv run --with pyside6-essentials {stem}.py",
            "jupyter": f'uvx --from jupyterlab --with "{target}" jupyter-lab {stem}.ipynb',
        }

    def install_cell(self, extras: list[str]) -> str:
        """Write the first cell of a notebook."""
        uses = {"gdexplain": "", **{EXTRAS[extra][0]: extra for extra in extras}}
        return _INSTALL.format(uses=json.dumps(uses), target=self.pip_target("{extras}")).rstrip()

    def script(self, source: str, stem: str) -> str:
        """Turn a gallery script into its download: what it needs on top, and figures that appear on any machine."""
        if len(re.findall(r"^plt\.show\(\)$", source, flags=re.MULTILINE)) != 1 or "use_style()" not in source:
            raise ValueError(f"{stem}.py must call use_style() before its figures and plt.show() once, after them")
        source = self.program(source, stem)
        source = re.sub(r"^[ \t]*# sphinx_gallery_\w+ = .*\n", "", source, flags=re.MULTILINE)  # for the build alone
        drawn = _DRAWN if "animat" in source else ""
        return source.replace("\nplt.show()\n", f"\n{_SHOW.format(stem=stem, drawn=drawn)}")

    def program(self, source: str, stem: str) -> str:
        """Put on top of a script what it needs."""
        need = "" if self.base else f", with {self.wheel} beside it"
        return f"{self.metadata(extras_of(source))}\n\n# Run it with `uv run {stem}.py`{need}.\n\n{source}"


@dataclass(frozen=True)
class Repository:
    """A public repository, and its branch that holds the built site."""

    name: str
    branch: str

    @classmethod
    def named(cls, text: str) -> Repository | None:
        """Read `owner/name` or `owner/name@branch`; an empty text is no repository."""
        name, _, branch = text.partition("@")
        if text and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ValueError(f"a repository must be owner/name or owner/name@branch, not {text!r}")
        return cls(name, branch or "gh-pages") if text else None

    def address(self) -> str:
        """Give the address of its files."""
        return f"https://raw.githubusercontent.com/{self.name}/{self.branch}/"

    def services(self, path: str) -> dict[str, str]:
        """Link to the services that run one of its notebooks."""
        branch, file = quote(self.branch, safe=""), quote(path, safe="")
        return {
            "Colab": f"https://colab.research.google.com/github/{self.name}/blob/{self.branch}/{path}",
            "Binder": f"https://mybinder.org/v2/gh/{self.name}/{branch}?labpath={file}",
        }


def in_words(python: str) -> str:
    """Say which versions of Python will do: `>=3.11,<3.14` is "3.11 to 3.13"."""
    low, high = re.findall(r"3\.(\d+)", python)
    return f"3.{low} to 3.{int(high) - 1}"


def box(
    package: Package,
    repository: Repository | None,
    *,
    stem: str,
    extras: list[str],
    script: bool,
    up: str,
    data: list[str],
) -> dict:
    """Gather what the template of the box needs; `up` leads from the page to the folder of downloads."""
    return {
        "beside": [*data, *([] if package.base else [package.wheel])],
        "commands": package.commands(stem, extras),
        "folder": up,
        "package": package,
        "python": in_words(package.python),
        "script": script,
        "services": repository.services(f"downloads/{stem}.ipynb") if repository else {},
        "stem": stem,
    }


def _bracket(extras: list[str]) -> str:
    """Write extras as a requirement does."""
    return f"[{','.join(extras)}]" if extras else ""


def extras_of(code: str) -> list[str]:
    """Say which extras of the package a piece of code uses."""
    tree = ast.parse(code)
    return [
        extra for extra, (_, sign) in EXTRAS.items() if (_needs_tensorflow(tree) if sign is None else sign.search(code))
    ]


def _needs_tensorflow(tree: ast.AST) -> bool:
    """Tell whether code imports Keras or TensorFlow, itself or through the package."""
    return any(_loads_keras(name) for name in _imports(tree))


@cache
def _loads_keras(name: str) -> bool:
    """Tell whether importing a module imports Keras; in the package, by reading what its modules import."""
    root, _, rest = name.partition(".")
    if root != "gdexplain":
        return root in {"keras", "tensorflow"}
    path = _SOURCE.joinpath(*rest.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return bool(rest) and path.exists() and _needs_tensorflow(ast.parse(path.read_text(encoding="utf-8")))


@cache
def _rooms() -> dict[str, str]:
    """Read which module each public name of the package is loaded from."""
    stub = ast.parse((_SOURCE / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"{node.module}" for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def _imports(tree: ast.AST) -> Iterator[str]:
    """Name the modules that code imports; a public name of the package stands for its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{_rooms().get(alias.name, alias.name)}" for alias in node.names)
