"""Text that cannot drive a terminal, and values that mean what they look like."""

import subprocess

import pytest

from streams.cli.problems import CommandError
from streams.cli.reporting import counted, named, one_line, pairs, plain, scalar


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert plain("a\x1b[2Jb\rc\td\ne\x9b31m\ud800") == "a[2Jbc\td\ne31m?"


def test_a_name_with_a_line_break_stays_on_its_line() -> None:
    assert one_line("new\nline\x1b.txt") == "new\\nline.txt"


@pytest.mark.parametrize("name", ["new\nline.txt", "\x1b[2J\tit's.md", "new\nand\\n.md", "c1 \x85 é.md"])
def test_a_shell_takes_a_name_back_as_it_is_printed(name: str) -> None:
    written = named(name)
    assert one_line(written) == written
    echo = ["bash", "-c", f"printf %s {written}"]
    assert subprocess.run(echo, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout.decode() == name


def test_a_name_that_can_be_printed_stays_as_it_is() -> None:
    assert named("a folder\\n/it's.md") == "a folder\\n/it's.md"


def test_one_is_singular() -> None:
    assert [counted(number, "chunk") for number in (0, 1, 2)] == ["0 chunks", "1 chunk", "2 chunks"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026", 2026),
        ("-1.5", -1.5),
        ("true", True),
        ("True", "True"),
        ("007", "007"),
        ("1e5", "1e5"),
        ("nan", "nan"),
        ("", ""),
        ("99999999999999999999", "99999999999999999999"),
    ],
)
def test_values_are_what_they_look_like(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_only_the_first_equals_sign_divides() -> None:
    assert pairs(["formula=a=b"], "--metadata") == {"formula": "a=b"}


@pytest.mark.parametrize("pair", ["novalue", "=x"])
def test_a_pair_without_a_name_or_a_sign_is_wrong_usage(pair: str) -> None:
    with pytest.raises(CommandError, match="is not NAME=VALUE"):
        pairs([pair], "--filter")
