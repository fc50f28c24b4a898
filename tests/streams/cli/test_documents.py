"""Deletions as a person sees them; what searches see is shown in the tests that have an index."""

import json

import pytest

from tests.streams.cli.conftest import Run

pytestmark = pytest.mark.stack


def test_a_deletion_of_what_is_not_there_is_no_success(deployed: Run) -> None:
    result = deployed("documents", "delete", "a.md", "absent.md")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "erased    a.md: 2 rows of chunks removed",
        "not found absent.md: tenant 'default' had nothing of it; `documents list` shows ids",
    ]


def test_a_program_reads_the_same_outcome(deployed: Run) -> None:
    result = deployed("documents", "delete", "absent.md", "--json")
    assert (result.exit_code, json.loads(result.output)["documents"][0]["outcome"]) == (1, "not found")
