"""The workflows say what they run, with which rights, and run nothing that the project does not have."""

import ast
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(
    r"\s*(?:- )?uses: (?:[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\$/\.github/workflows/\w+\.yml)"
)
each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sessions():
    """The names of the nox sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)}


def rights(path):
    """The rights to write that each job has."""
    jobs = load(path)["jobs"]
    return {
        (name, right)
        for name, job in jobs.items()
        for right, level in job.get("permissions", {}).items()
        if level == "write"
    }


@each
def test_a_workflow_has_no_rights_of_its_own_and_each_job_states_its(path):
    assert load(path)["permissions"] == {}
    assert all("permissions" in job for job in load(path)["jobs"].values())


@each
def test_an_action_is_pinned_by_its_commit_with_the_version_beside_it(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert [line for line in lines if not PINNED.fullmatch(line)] == []


def test_an_action_has_one_pin_everywhere():
    found = [re.findall(r"uses: ([\w./-]+)@(\S+)", path.read_text(encoding="utf-8")) for path in WORKFLOWS]
    pins = {pin for pairs in found for pin in pairs}
    assert len(pins) == len({name for name, _ in pins})


@each
def test_a_checkout_leaves_no_credentials_behind(path):
    steps = [step for job in load(path)["jobs"].values() for step in job.get("steps", [])]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_only_the_jobs_that_must_may_write():
    assert {path.stem: rights(path) for path in WORKFLOWS} == {
        "docs": {("deploy", "pages"), ("deploy", "id-token")},
        "release": {
            ("attest", "id-token"),
            ("attest", "attestations"),
            ("publish", "id-token"),
            ("announce", "contents"),
            ("deploy", "actions"),
        },
        "tests": set(),
        "weekly": {("report", "issues")},
    }


@each
def test_every_session_that_a_workflow_runs_exists(path):
    runs = re.findall(r"noxfile\.py -s ([\w -]+)", path.read_text(encoding="utf-8"))
    named = {word for run in runs for word in run.partition(" -- ")[0].split()}
    assert named <= sessions()


def test_the_package_is_tested_on_every_system_and_python_that_it_promises():
    matrix = load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert matrix["python"] == promised
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}


def test_the_week_tries_the_oldest_and_the_newest_parts_other_pythons_and_other_arithmetic():
    path = ROOT / ".github" / "workflows" / "weekly.yml"
    assert {"oldest", "newest", "robust"} <= {*re.findall(r"\w+", path.read_text(encoding="utf-8"))} & sessions()
    jobs = load(path)["jobs"]
    assert [*jobs["report"]["needs"], "report"] == [*jobs]  # no part fails in silence
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert ["3.11", *jobs["pythons"]["strategy"]["matrix"]["python"]] == promised


@pytest.mark.parametrize("name", ["dependabot.yml", "ISSUE_TEMPLATE/bug.yml", "ISSUE_TEMPLATE/wrong_or_unclear.yml"])
def test_what_github_reads_can_be_read(name):
    assert load(ROOT / ".github" / name)
