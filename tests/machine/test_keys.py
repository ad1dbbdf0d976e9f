"""What a terminal sends, taken apart into keys."""

from __future__ import annotations

from relu_demo.machine.keys import KEYS, keys

SENT = [(name, sent) for name, sequences in KEYS.items() for sent in sequences]


def test_each_sequence_is_its_key() -> None:
    for name, sent in SENT:
        assert keys(sent) == ([name], "")
        assert keys(f"n{sent}n") == (["n", name, "n"], "")


def test_terminals_have_csi_and_ss3_and_windows_two_characters() -> None:
    for name in ("Right", "Left", "Down", "Up", "PageDown", "PageUp"):
        starts = [sent[:-1] for sent in KEYS[name]]
        assert any(start.startswith("\x1b[") for start in starts)
        assert {"\x1bO", "\xe0", "\0"} <= set(starts)


def test_no_sequence_is_that_of_two_keys() -> None:
    assert len({sent for _, sent in SENT}) == len(SENT)


def test_a_sequence_that_comes_in_pieces_is_one_key() -> None:
    for name, sent in SENT:
        for at in range(1, len(sent) if sent.startswith("\x1b") else 0):
            first, rest = keys("n" + sent[:at])
            assert (first, keys(rest + sent[at:] + "q")) == (["n"], ([name, "q"], ""))


def test_another_key_is_one_key_and_no_letter() -> None:
    for sent in ("\x1bOP", "\x1b[15~", "\x1b[1;5C", "\x1b[[A", "\x1b[H", "\x1b[3~", "\xe0;", "\0;"):
        assert keys(sent + "q") == ([sent, "q"], "")


def test_escape_before_a_key_does_not_hide_it() -> None:
    begun = keys("\x1b")[1]
    assert keys(f"{begun}q") == (["\x1b", "q"], "")
    assert keys(f"{begun}\x1b[C") == (["\x1b", "Right"], "")
    begun = keys("\x1b[C" * 10 + "\x1b[")[1]  # click reads 32 characters, and the terminal forgets the others
    assert keys(f"{begun}\x1b[C") == (["\x1b", "[", "Right"], "")
