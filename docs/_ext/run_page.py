"""Run one page in this process: a script by sphinx-gallery's own generator, cells by IPython's own shell.

No tool runs pages in forks of one process that has TensorFlow already: each would import it for every page. So what is slow
to import is imported once, before the forks, and nothing is computed: a fork is sound only before TensorFlow's first
operation.
"""

from __future__ import annotations

import ast
import builtins
import codeop
import contextlib
import gc
import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks import CHECK, Checks, Result
from figures import UNDATED, use_site_style
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import v4
from sphinx_gallery.gen_rst import generate_file_rst
from sphinx_gallery.utils import get_md5sum
from traitlets.config import Config

gc.freeze()  # TensorFlow is here to stay: not to be looked through, nor copied, in each fork
gc.set_threshold(200_000, 20, 50)


def script(path: Path, target: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Have sphinx-gallery run a script and write its page, and return the checks that failed.

    `generate_file_rst` is what sphinx-gallery gives its own workers; it is not documented, nor is that it compiles each
    block by a `codeop.Compile`. tests/site/test_faults.py fails first where either has changed.
    """
    result = _watch()
    (target / "images" / "thumb").mkdir(parents=True, exist_ok=True)
    for name in (
        f"sphx_glr_{path.stem}_[0-9]*",
        f"thumb/sphx_glr_{path.stem}_thumb*",
    ):  # of an earlier run, of another kind
        for old in (target / "images").glob(name):
            old.unlink()
    codeop.Compile = _Compile  # type: ignore[misc]
    settings = settings | {"plot_gallery": True, "run_stale_examples": True, "abort_on_example_error": False}
    about: dict[str, Any] = {}
    with _held_against(result):
        try:
            *_, about = generate_file_rst(path.name, target, path.parent, settings)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this page's
            result.stopped(error, path)
    if text := about.get("formatted_exception"):
        lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', text)
        result.failures.pop(0, None)  # sphinx-gallery has said it too
        result.note(int(lines[-1]) if lines else 0, "the page runs", text.strip().splitlines()[-1])
    copy = target / path.name  # with this the gallery takes the page as it is, though a line of it failed
    Path(f"{copy}.md5").write_text(get_md5sum(copy, mode="t"))
    return {"checked": result.told(), "failures": result.listed()}


def cells(path: Path, code: list[tuple[int, str]]) -> dict[str, Any]:
    """Run a page's cells, each given with its first line; return every cell's outputs, and the checks that failed."""
    result, checks, outputs = _watch(), Checks(), []
    os.chdir(path.parent)
    shell = _Shell.instance(config=_SETTINGS)
    shell.ast_transformers.append(checks)
    shell.enable_matplotlib("inline")
    use_site_style()
    with _held_against(result):
        for line, source in code:
            checks.offset = line - 1
            shell.outputs = []
            sys.stdout, sys.stderr = _Stream(shell, "stdout"), _Stream(shell, "stderr")
            done = shell.run_cell(source, store_history=True)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            outputs.append(shell.outputs)
            if error := done.error_before_exec or done.error_in_exec:
                inside = traceback.extract_tb(error.__traceback__)[1:2]  # the first frame is IPython's
                at = inside[0].lineno if done.error_in_exec and inside else getattr(error, "lineno", 1)
                result.note(line - 1 + (at or 1), "the page runs", f"{type(error).__name__}: {error}")
                break
    return {"outputs": outputs, "checked": result.told(), "failures": result.listed()}


def _watch() -> Result:
    """Have the checks of all code of this process, which runs but one page, counted."""
    result = Result()
    vars(builtins)[CHECK] = result.check
    return result


@contextlib.contextmanager
def _held_against(result: Result) -> Iterator[None]:
    """Hold it against the page if anything, say a library in C++, writes to the process' standard error."""
    before = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        os.dup2(file.fileno(), 2)
        yield
        sys.__stderr__.flush()
        os.dup2(before, 2)
        file.seek(0)
        if written := file.read().strip():
            result.note(0, "nothing is written to standard error", written)


# -- scripts ----------------------------------------------------------------------------------------------------------


class _Compile(codeop.Compile):
    """Compile a block with its checks counted."""

    def __call__(self, source: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(source, ast.Module):
            match source.body:
                # A block's last expression, whose value the page shows: a check has none.
                case [ast.Assign(targets=[ast.Name(id="___")], value=ast.Call() as call)]:
                    statement = ast.copy_location(ast.Expr(call), call)
                    checked = Checks().visit(statement)
                    if checked is not statement:
                        source.body = [*ast.parse("___ = None").body, checked]
                case _:
                    source = Checks().visit(source)
            ast.fix_missing_locations(source)
        return super().__call__(source, *arguments, **options)


# -- cells ------------------------------------------------------------------------------------------------------------

_SETTINGS = Config()  # figures as sharp and as transparent as the gallery's
_SETTINGS.InlineBackend.figure_formats = {"svg"}
_SETTINGS.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "facecolor": "none", "metadata": UNDATED}
_SETTINGS.InlineBackend.rc = {}
_SETTINGS.HistoryManager.enabled = False


class _Stream(io.TextIOBase):
    """Standard output or error as a notebook keeps it: text, in order with what is displayed."""

    def __init__(self, shell: _Shell, name: str) -> None:
        self.shell, self.name = shell, name

    def write(self, text: str) -> int:
        last = self.shell.outputs[-1] if self.shell.outputs else {}
        if last.get("name") == self.name:
            last["text"] += text
        elif text:
            self.shell.outputs.append(v4.new_output("stream", name=self.name, text=text))
        return len(text)


class _Publisher(DisplayPublisher):
    """Keep what a cell displays."""

    def publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, **_: Any) -> None:
        self.shell.outputs.append(v4.new_output("display_data", data=data, metadata=metadata or {}))


class _Hook(DisplayHook):
    """Keep the value of a cell's last line."""

    def __call__(self, result: Any = None) -> None:
        if result is not None and not self.quiet():
            data, metadata = self.compute_format_data(result)
            self.update_user_ns(result)
            about = {"data": data, "metadata": metadata, "execution_count": self.prompt_count}
            self.shell.outputs.append(v4.new_output("execute_result", **about))


class _Shell(InteractiveShell):
    """IPython without a terminal and without a kernel: it keeps outputs as nbformat has them."""

    outputs: list[dict[str, Any]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, display_pub_class=_Publisher, displayhook_class=_Hook)

    def enable_gui(self, gui: Any = None) -> None:
        """There is no window to open."""
