"""Ctrl-C and SIGTERM: held while something is written, lost nowhere, and not doubled by an impatient hand."""

import contextlib
import os
import signal
import time

import pytest

from adapters.processes import signals
from adapters.processes.signals import Terminated, signals_heard, signals_held


@pytest.fixture(autouse=True)
def defaults(handlers):
    """Python's own handlers at the start of each test."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_raised_at_once_or_after_what_holds_it(number, raised):
    with pytest.raises(raised), signals_heard():
        send(number)
    done = []

    def write():
        with signals_held():
            with signals_held():
                send(number)
                done.append("inner")
            done.append("outer")

    with pytest.raises(raised), signals_heard():
        write()
    assert done == ["inner", "outer"]


def test_handlers_come_back_where_nothing_happened():
    before = signal.getsignal(signal.SIGTERM)
    with signals_heard(), signals_held():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_is_ignored_on_the_way_out_but_not_for_ever(monkeypatch):
    left = []

    def work():
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGINT)
            left.append("in order")

    with pytest.raises(KeyboardInterrupt), signals_heard():
        work()
    send(signal.SIGINT)  # the process is about to end
    assert left == ["in order"]
    monkeypatch.setattr(signals, "PATIENCE", -1.0)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


class Swallows:
    def __del__(self):
        send(signal.SIGTERM)  # Python prints what is raised in a destructor, and goes on


@pytest.mark.parametrize("writes", [True, False])
def test_a_signal_that_python_loses_is_raised_again(capsys, writes):
    passed = []

    def work():
        thing = Swallows()
        del thing
        passed.append("the destructor")
        with signals_held() if writes else contextlib.nullcontext():
            passed.append("the file")
        for _ in range(100):
            time.sleep(0.01)
        passed.append("a second")

    with pytest.raises(Terminated), signals_heard():
        work()
    time.sleep(0.2)  # it is not sent once more
    assert passed == ["the destructor", "the file"]
    assert capsys.readouterr().err == ""


def test_a_job_in_the_background_stays_deaf_to_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_heard():
        send(signal.SIGINT)
    with pytest.raises(Terminated), signals_heard():
        send(signal.SIGTERM)


def test_an_error_while_writing_is_not_hidden_by_a_signal():
    def write():
        with signals_held():
            send(signal.SIGTERM)
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"), signals_heard():
        write()
