"""Sites of several versions stand beside each other, and each tells the way to the others."""

import importlib.util
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("assemble_site", ROOT / "tools" / "assemble_site.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def sites(tmp_path):
    """Four sites: development, and three releases of two minor versions, the oldest without a switcher."""
    for name, pages in {
        "dev": ["index.html", "new/page.html"],
        "0.9.0": ["index.html"],
        "1.0.9": ["index.html"],
        "1.0.10": ["index.html", "old.html"],
    }.items():
        site = tmp_path / "sites" / name
        for page in pages:
            (site / page).parent.mkdir(parents=True, exist_ok=True)
            (site / page).write_text(name)
        (site / "_static").mkdir()
        if name != "0.9.0":
            (site / "_static" / "versions.js").write_bytes((ROOT / "docs" / "_static" / "versions.js").read_bytes())
    return tmp_path / "sites"


def read(path):
    text = (path / "_static" / "versions.js").read_text()
    return json.loads(text.removeprefix("globalThis.gdexplainVersions = ").removesuffix(";\n"))


def test_each_minor_version_has_a_folder_and_stable_is_the_newest(sites, tmp_path):
    target = tmp_path / "target"
    assert tool.assemble(sites, target) == ["dev", "1.0", "0.9", "stable"]
    assert (target / "1.0" / "index.html").read_text() == "1.0.10"  # 10 comes after 9
    assert (target / "stable" / "index.html").read_text() == "1.0.10"
    assert 'url=stable/"' in (target / "index.html").read_text()
    assert (target / ".nojekyll").exists()


def test_stable_keeps_the_wheel_of_every_release(sites, tmp_path):
    for name in ("dev", "0.9.0", "1.0.9", "1.0.10"):
        (sites / name / "downloads").mkdir()
        (sites / name / "downloads" / f"gdexplain-{name}-py3-none-any.whl").touch()
    tool.assemble(sites, tmp_path / "target")
    kept = sorted(path.name.split("-")[1] for path in (tmp_path / "target" / "stable" / "downloads").iterdir())
    assert kept == ["0.9.0", "1.0.10", "1.0.9"]
    assert len([*(tmp_path / "target" / "1.0" / "downloads").iterdir()]) == 1


def test_each_site_names_the_others_and_says_which_of_its_pages_they_lack(sites, tmp_path):
    tool.assemble(sites, tmp_path / "target")
    entries = {entry["name"]: entry for entry in read(tmp_path / "target" / "dev")}
    assert [name for name, entry in entries.items() if entry["here"]] == ["dev"]
    assert entries["1.0"]["release"] == "1.0.10"
    assert entries["1.0"]["without"] == ["new/page.html"]
    assert entries["dev"]["without"] == []
    assert {entry["name"]: entry for entry in read(tmp_path / "target" / "1.0")}["dev"]["without"] == ["old.html"]


def test_before_the_first_release_the_first_page_leads_to_dev(sites, tmp_path):
    for name in ("0.9.0", "1.0.9", "1.0.10"):
        for path in sorted((sites / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (sites / name).rmdir()
    assert tool.assemble(sites, tmp_path / "target") == ["dev"]
    assert 'url=dev/"' in (tmp_path / "target" / "index.html").read_text()


def test_a_folder_that_is_no_version_is_refused(sites, tmp_path, capsys):
    (sites / "latest").mkdir()
    assert tool.main([str(sites), str(tmp_path / "target")]) == 1
    assert "latest" in capsys.readouterr().err


def test_a_folder_without_a_site_is_refused(sites, tmp_path, capsys):
    (sites / "2.0.0").mkdir()
    assert tool.main([str(sites), str(tmp_path / "target")]) == 1
    assert "no index.html" in capsys.readouterr().err
