"""What the tasks say before they begin: a Python that will not do, a port that is taken."""

import ast
import pathlib
import re
import socket
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run_noxfile(version):
    """Execute the head of the noxfile, up to its first task, as that Python would."""
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    head = text[: text.index("import tomllib")]
    fake = types.SimpleNamespace(version_info=version, executable="/bin/python", exit=sys.exit)
    code = head.replace("import sys\n", "").replace("import nox\n", "")
    exec(compile(code, "noxfile.py", "exec"), {"sys": fake, "__name__": "noxfile", "__file__": "noxfile.py"})  # noqa: S102


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 9, 1), (3, 14, 0)])
def test_a_python_that_will_not_do_is_refused_before_anything_else_in_words(version):
    with pytest.raises(SystemExit) as refusal:
        run_noxfile(version)
    assert f"Python 3.{version[1]} (/bin/python)" in str(refusal.value)
    assert "needs Python 3.11, 3.12 or 3.13" in str(refusal.value)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_a_python_that_will_do_is_not(version):
    run_noxfile(version)


def test_a_taken_port_is_said_in_words_and_a_free_one_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = str(server.getsockname()[1])
        command = [sys.executable, str(ROOT / "tools" / "check_port.py"), number]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1,
        f"port {number} of this machine is taken; name another: nox -s serve -- --port 8001",
    )
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_every_session_that_a_workflow_runs_exists():
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    sessions = {node.name for node in functions if "nox.session" in "".join(map(ast.unparse, node.decorator_list))}
    workflows = (path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    runs = re.findall(r"noxfile\.py -s ([\w -]+)", "".join(workflows))
    assert {word for run in runs for word in run.partition(" -- ")[0].split()} <= sessions
