"""Payloads that only those read who have a key."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from sagaflow.adapters.encrypted_codec import EncryptedCodec
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.errors import ConfigurationError, PayloadError, PayloadTooLarge
from sagaflow.ports import Codec
from tests.docs.documents import environment

OLD, NEW, OTHER = (EncryptedCodec.new_key() for _ in range(3))
SECRET = "4929-s3cr3t"


class Card(Struct, frozen=True):
    number: str
    cents: int = 0


def codec(*keys: str, **options: Any) -> EncryptedCodec:
    return EncryptedCodec(JsonCodec(), keys or [OLD], **options)


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text("abc$.", max_size=3), values, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert codec().decode(codec().encode(value, Any), Any) == value


def test_it_is_a_codec_and_keeps_types() -> None:
    made: Codec = codec()
    assert made.decode(made.encode(Card(SECRET, 5), Card), Card) == Card(SECRET, 5)


def test_nothing_of_the_value_is_in_the_text() -> None:
    text = codec().encode(Card(SECRET), Card)
    assert text.isascii()
    assert SECRET not in text
    assert "number" not in text


def test_equal_values_are_written_in_different_ways() -> None:
    assert codec().encode(1, int) != codec().encode(1, int)


# ---------------------------------------------------------------------------------------- keys


def test_the_first_key_writes_and_all_of_them_read() -> None:
    by_old, by_new = codec(OLD).encode(1, int), codec(NEW, OLD).encode(2, int)
    assert [codec(OLD, NEW).decode(text, int) for text in (by_old, by_new)] == [1, 2]
    assert codec(NEW).decode(by_new, int) == 2
    with pytest.raises(PayloadError):
        codec(NEW).decode(by_old, int)


@pytest.mark.parametrize("spoil", ["another key", "changed", "cut", "plain", "empty", "no ASCII", "surrogate"])
def test_what_no_key_has_written_is_refused_without_being_shown(spoil: str) -> None:
    text = codec().encode(Card(SECRET), Card)
    middle = len(text) // 2
    spoiled = {
        "another key": codec(OTHER).encode(Card(SECRET), Card),
        "changed": text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :],
        "cut": text[:-4],
        "plain": JsonCodec().encode(Card(SECRET), Card),
        "empty": "",
        "no ASCII": f"{SECRET}é",
        "surrogate": f"{SECRET}\ud800",
    }[spoil]
    with pytest.raises(PayloadError, match=r"What is stored as Card cannot be decrypted: .*every key") as raised:
        codec(OLD, NEW).decode(spoiled, Card)
    told = "".join(traceback.format_exception(raised.value))
    for secret in (SECRET, text, OLD, NEW):
        assert secret not in told


def test_what_was_written_in_clear_is_read_only_if_that_is_allowed() -> None:
    plain = JsonCodec().encode(Card(SECRET), Card)
    both = codec(accept_plain=True)
    assert both.decode(plain, Card) == Card(SECRET)
    assert both.decode(both.encode(Card(SECRET), Card), Card) == Card(SECRET)
    assert SECRET not in both.encode(Card(SECRET), Card)
    with pytest.raises(PayloadError, match="decrypted"):
        both.decode(codec(OTHER).encode(Card(SECRET), Card), Card)


# As the environment gives a variable that is not set, or is empty, and as one forgets the list.
WRONG: list[Any] = [[], (), OLD, OLD.encode(), [""], ["short"], [OLD, OLD[:-2]], [None], [f"{OLD}é"], [7]]


@pytest.mark.parametrize("keys", WRONG, ids=range(len(WRONG)))
def test_keys_that_are_none_are_refused_without_being_shown(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"EncryptedCodec\.new_key\(\)") as raised:
        EncryptedCodec(JsonCodec(), keys)
    told = "".join(traceback.format_exception(raised.value))
    assert OLD[:-2] not in told


def test_the_key_that_is_wrong_is_told_by_its_place() -> None:
    with pytest.raises(ConfigurationError, match="key 2 of 3 is none"):
        codec(OLD, "wrong", NEW)


def test_it_shows_no_key() -> None:
    made = codec(OLD, NEW)
    assert not any(key in f"{made!r} {vars(made)!r}" for key in (OLD, NEW))


# ---------------------------------------------------------------------------------------- faults of values


def test_what_the_inner_codec_refuses_is_refused() -> None:
    with pytest.raises(PayloadError, match="This is no int"):
        codec().encode(SECRET, int)
    with pytest.raises(PayloadTooLarge):
        EncryptedCodec(JsonCodec(max_size=10), [OLD]).encode("x" * 20, str)
    with pytest.raises(PayloadError, match="This is no int") as raised:
        codec().decode(codec().encode(SECRET, str), int)
    assert SECRET not in str(raised.value)


def test_a_text_grows_by_about_a_third() -> None:
    plain = JsonCodec().encode("x" * 30_000, str)
    assert len(codec().encode("x" * 30_000, str)) < 1.34 * len(plain) + 150


# ---------------------------------------------------------------------------------------- installed, or not


def run(code: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_the_package_and_an_engine_do_without_cryptography() -> None:
    done = run(
        "import sys; sys.modules['cryptography'] = None\n"
        "import sagaflow\n"
        "sagaflow.Engine(store='memory://', broker='memory://')\n"
        "print(sorted(name for name in sys.modules if name.startswith('cryptography.')))"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_without_cryptography_its_import_says_what_to_install() -> None:
    done = run("import sys; sys.modules['cryptography'] = None\nimport sagaflow.adapters.encrypted_codec")
    assert done.returncode == 1
    assert "EncryptedCodec needs the package cryptography: pip install 'sagaflow[encryption]'" in done.stderr
