"""What the documentation names exists."""

import re
from dataclasses import fields
from pathlib import Path

import combinations
import pytest
from cases import CASES

from snakemake_executor_plugin_kempner.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def flags() -> set[str]:
    return {f"--kempner-{one.name.replace('_', '-')}" for one in fields(Settings)}


def test_every_test_that_is_named_is_there() -> None:
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {name for text in PAGES.values() for name in re.findall(r"`(test_\w+)`", text)}
    assert named
    assert named <= there


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_that_is_named_is_there(page: str) -> None:
    assert set(re.findall(r"--kempner-[a-z-]*[a-z]", PAGES[page])) <= flags()


def test_every_flag_is_explained() -> None:
    assert {flag for flag in flags() if flag not in PAGES["docs/further.md"]} == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", PAGES[page]):
        assert not target or (folder / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_section_finds_it(page: str) -> None:
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", PAGES[page]):
        path = (ROOT / page).parent / target if target else ROOT / page
        titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
        assert section in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, section


def test_the_table_of_conformance_has_the_cases_of_the_feature_matrix() -> None:
    """`python tests/cluster/conformance.py docs/conformance.md -k NAME` adds a case."""
    rows = re.findall(r"^\| (?!case )([^|\n]+) \|(?:[^|\n]*\|){4}$", PAGES["docs/conformance.md"], re.MULTILINE)
    assert rows == [case.name for case in (*CASES, *combinations.CASES)]


def test_no_case_of_the_table_of_conformance_differs() -> None:
    assert "differs" not in PAGES["docs/conformance.md"]
