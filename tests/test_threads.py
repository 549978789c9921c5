"""Ctrl-C that waits."""

import signal
from collections.abc import Iterator

import pytest

from mirror_sfm.threads import parallel, undisturbed


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A shell's background job has interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    before, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"] and signal.getsignal(signal.SIGINT) is before


def test_errors_and_other_threads_pass() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), undisturbed():
        raise ZeroDivisionError

    def handler(_: int) -> object:
        with undisturbed():
            return signal.getsignal(signal.SIGINT)

    assert list(parallel(handler, [0], 1)) == [before] and signal.getsignal(signal.SIGINT) is before
