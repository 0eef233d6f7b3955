"""The listener's key and whom the acting side believes."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from activities.signatures import PublicKeyWrongError, TrustedKeys, covers, key_id
from bot.keys import KEY_FILE, KeyFileError, ListenerKey
from runbooks.model.decision import Answer, Decision, Principal, SignedDecision

AT = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)


def decision(**changes):
    facts = {
        "id": "click-1",
        "gate": "R-7F3K2Q/gate-1",
        "remediation": "R-7F3K2Q",
        "plan_digest": "ab" * 32,
        "answer": Answer.APPROVED,
        "principal": Principal(key="slack:T1/U1", name="Alice", groups=("sre-oncall",)),
        "via": "slack",
        "decided_at": AT,
        "expires_at": AT + timedelta(minutes=15),
    }
    return Decision(**(facts | changes))


def test_a_seal_is_believed_by_those_who_trust_the_key():
    """What a trusted listener signed verifies; nobody else's does."""
    key, stranger = ListenerKey.generate(), ListenerKey.generate()
    trusted = TrustedKeys([key.public_key])

    assert trusted.verify(key.sign(decision()))
    assert not trusted.verify(stranger.sign(decision()))
    assert trusted.ids == {key.key_id} == {key_id(key.public_key)}


@pytest.mark.parametrize(
    "change",
    [
        {"answer": Answer.DENIED},
        {"plan_digest": "cd" * 32},
        {"gate": "R-AAAAAA/gate-1"},
        {"principal": Principal(key="slack:T1/U2", groups=("sre-oncall",))},
        {"expires_at": AT + timedelta(days=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_seal_covers_every_word_of_the_decision(change):
    """A decision that was altered after signing does not verify."""
    key = ListenerKey.generate()
    signed = key.sign(decision())
    forged = signed.model_copy(update={"decision": signed.decision.model_copy(update=change)})

    assert not TrustedKeys([key.public_key]).verify(forged)


def test_a_seal_covers_the_reason_and_outlives_its_words():
    """The digest of the words is signed, with a salt that only the key can work out, the same each time."""
    key = ListenerKey.generate()
    trusted = TrustedKeys([key.public_key])
    signed = key.sign(decision(reason="known leak"))
    other = signed.decision.model_copy(update={"reason": "no leak"})

    assert trusted.signer_of(signed) == key.public_key
    assert key.sign(decision(reason="known leak")) == signed
    assert trusted.signer_of(signed.model_copy(update={"decision": other})) is None
    body = signed.decision.model_dump(mode="json") | {"reason": {"$c": "00"}, "reason_salt": {"$c": "11"}}
    assert covers(key.public_key, signed.signature, body)
    assert not covers(key.public_key, signed.signature, body | {"reason_digest": ""})
    assert not covers(b"short", signed.signature, body)


@pytest.mark.parametrize("signature", ["", "not base64!", "AAAA", "ü", "=" * 5000])
def test_garbage_is_refused_and_does_not_raise(signature):
    """Verifying answers no to any signature text at all."""
    key = ListenerKey.generate()
    signed = SignedDecision(decision=decision(), key_id=key.key_id, signature=signature)

    assert not TrustedKeys([key.public_key]).verify(signed)


def test_text_that_no_bytes_can_hold_is_refused():
    """A decision that cannot be written canonically was signed by nobody."""
    key = ListenerKey.generate()
    odd = decision().model_copy(update={"reason": "\ud800"})
    signed = key.sign(decision()).model_copy(update={"decision": odd})

    assert not TrustedKeys([key.public_key]).verify(signed)


def test_a_foreign_key_that_uses_our_id_is_refused():
    """The key id only selects the key; it proves nothing."""
    key, stranger = ListenerKey.generate(), ListenerKey.generate()
    signed = stranger.sign(decision()).model_copy(update={"key_id": key.key_id})

    assert not TrustedKeys([key.public_key]).verify(signed)


def test_other_listeners_are_trusted_by_their_public_text():
    """The text that one machine prints is what another one's setting takes."""
    own, other = ListenerKey.generate(), ListenerKey.generate()

    trusted = TrustedKeys.from_texts([own.public_key], [other.public_text])

    assert trusted.verify(own.sign(decision()))
    assert trusted.verify(other.sign(decision()))


@pytest.mark.parametrize("text", ["???", base64.b64encode(b"short").decode()])
def test_a_wrong_public_key_stops_the_start(text):
    """A misspelt key is an error, never a listener that is silently not believed."""
    with pytest.raises(PublicKeyWrongError):
        TrustedKeys.from_texts([], [text])


def test_the_same_key_is_found_again(tmp_path):
    """A restart signs with the same key, and only its owner can read it."""
    folder = tmp_path / "data" / "keys"

    first = ListenerKey.load_or_create(folder)
    second = ListenerKey.load_or_create(folder)

    assert first.key_id == second.key_id
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_processes_that_start_at_once_share_one_key(tmp_path):
    """The first key in place is the key, whoever else was about to write one."""
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(ListenerKey.load_or_create, [tmp_path] * 16))

    assert len({key.key_id for key in keys}) == 1


def test_a_key_that_everybody_can_read_is_not_used(tmp_path):
    """A key that others could have copied seals nothing."""
    ListenerKey.load_or_create(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)

    with pytest.raises(KeyFileError, match="everybody on this machine can read"):
        ListenerKey.load_or_create(tmp_path)


def test_a_file_that_is_no_key_is_named(tmp_path):
    """The error names the file and what to do."""
    descriptor = os.open(tmp_path / KEY_FILE, os.O_WRONLY | os.O_CREAT, 0o600)
    os.close(descriptor)

    with pytest.raises(KeyFileError, match=r"listener\.pem is not a private key"):
        ListenerKey.load_or_create(tmp_path)


@pytest.mark.slow
def test_a_key_that_is_looked_up_seals_as_the_one_in_the_file(tmp_path):
    """What stands beside it only saves the reading: the seal is the key file's."""
    first = ListenerKey.looked_up(tmp_path)
    again = ListenerKey.looked_up(tmp_path)
    kept = ListenerKey.load_or_create(tmp_path)

    assert first.public_key == again.public_key == kept.public_key
    assert TrustedKeys([kept.public_key]).verify(again.sign(decision()))


@pytest.mark.slow
def test_a_key_that_was_changed_is_read_again_and_never_used_unseen(tmp_path):
    """Another key in the file is another listener; one that everybody can read, or no key at all, stops the start."""
    before = ListenerKey.looked_up(tmp_path)
    file = tmp_path / KEY_FILE
    file.unlink()
    after = ListenerKey.looked_up(tmp_path)

    assert after.public_key != before.public_key
    with pytest.raises(KeyFileError, match="was replaced while this process runs"):
        before.sign(decision())
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="everybody on this machine can read"):
        ListenerKey.looked_up(tmp_path)
    file.chmod(0o600)
    file.write_text("nonsense")
    with pytest.raises(KeyFileError, match="is not a private key"):
        ListenerKey.looked_up(tmp_path)
