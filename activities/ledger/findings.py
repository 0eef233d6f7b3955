"""What a verifier may conclude, and how it says where it stopped."""

from __future__ import annotations

from enum import StrEnum

from runbooks.model.base import Value


class VerifiedState(StrEnum):
    """What verification concluded."""

    OK = "ok"
    TAMPERED = "tampered"  # certainly changed
    CANNOT_TELL = "cannot_tell"  # not to be read, or nothing there to compare it with


class Verification(Value):
    """The report.

    Attributes:
        size: how many records were found good, from the first on.
        root: the tree's root over them, hex.
        seq: the first record that is not as it should be; None where it is none in particular.
        problem: what is wrong, one sentence; empty where nothing is.
        checkpoints: how many checkpoints beside the records were compared.
        anchors: how many checkpoints from elsewhere were compared.
        sealed: how many records, from the first on, stand under a checkpoint that a given key signed.
        pruned: how many of the records have their bodies in an earlier export only.
        signatures: how many decisions that counted are under the seal of a listener that is believed.
        listeners: the ids of these listeners' keys, for people to compare.
        warnings: what is no forgery, and should be known.
    """

    state: VerifiedState
    size: int
    root: str
    seq: int | None = None
    problem: str = ""
    checkpoints: int = 0
    anchors: int = 0
    sealed: int = 0
    pruned: int = 0
    signatures: int = 0
    listeners: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 good, 1 tampered, 2 cannot tell."""
        return tuple(VerifiedState).index(self.state)


class TamperedError(Exception):
    """Something is certainly not as the product writes it."""

    def __init__(self, problem: str, seq: int | None = None) -> None:
        super().__init__(problem)
        self.seq = seq


class CannotTellError(Exception):
    """What is there does not suffice to say yes or no."""
