"""Deletions as a person sees them; what searches see is shown in the tests that have an index."""

import json
from datetime import datetime

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
    result = deployed("documents", "delete", "absent.md", "a\nb.md", "--json")
    assert result.exit_code == 1
    absent, erased = json.loads(result.output)["documents"]
    assert (absent["outcome"], absent["removed"]) == ("not found", {"chunks": 0})
    assert (erased["document_id"], erased["outcome"], erased["removed"]) == ("a\nb.md", "erased", {"chunks": 2})
    assert erased["version"] > 0
    assert datetime.fromisoformat(erased["published_at"]).tzinfo is not None
