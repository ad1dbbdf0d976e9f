"""What a terminal sends, taken apart into keys."""

from __future__ import annotations

import pytest

from relu_demo.machine.keys import KEYS, keys

SENT = [(name, sent) for name, sequences in KEYS.items() for sent in sequences]


@pytest.mark.parametrize(("name", "sent"), SENT, ids=ascii)
def test_each_sequence_is_its_key(name: str, sent: str) -> None:
    assert keys(sent) == ([name], "")
    assert keys(f"n{sent}n") == (["n", name, "n"], "")


@pytest.mark.parametrize("name", ["Right", "Left", "Down", "Up", "PageDown", "PageUp"])
def test_terminals_have_csi_and_ss3_and_windows_two_characters(name: str) -> None:
    starts = [sent[:-1] for sent in KEYS[name]]
    assert any(start.startswith("\x1b[") for start in starts)
    assert "\x1bO" in starts
    assert {"\xe0", "\0"} <= set(starts)


def test_no_sequence_is_that_of_two_keys() -> None:
    assert len({sent for _, sent in SENT}) == len(SENT)


@pytest.mark.parametrize("sent", [sent for _, sent in SENT if sent.startswith("\x1b")], ids=ascii)
def test_a_sequence_that_comes_in_pieces_is_one_key(sent: str) -> None:
    for at in range(1, len(sent)):
        first, rest = keys("n" + sent[:at])
        second, end = keys(rest + sent[at:] + "q")
        assert (first, second, end) == (["n"], [*keys(sent)[0], "q"], "")


@pytest.mark.parametrize(
    "sent",
    ["\x1bOP", "\x1bOQ", "\x1bOS", "\x1b[15~", "\x1b[1;5C", "\x1b[[A", "\x1b[[B", "\x1b[H", "\x1b[3~", "\xe0;", "\0;"],
    ids=ascii,
)
def test_another_key_is_one_key_and_no_letter(sent: str) -> None:
    assert keys(sent + "q") == ([sent, "q"], "")


def test_escape_before_a_key_does_not_hide_it() -> None:
    begun = keys("\x1b")[1]
    assert keys(f"{begun}q") == (["\x1b", "q"], "")
    assert keys(f"{begun}\x1b[C") == (["\x1b", "Right"], "")
    begun = keys("\x1b[C" * 10 + "\x1b[")[1]  # click reads 32 characters, and the terminal forgets the others
    assert keys(f"{begun}\x1b[C") == (["\x1b", "[", "Right"], "")
