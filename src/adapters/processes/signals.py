"""Ctrl-C and SIGTERM: they wait for the file that is being written, and an impatient second one tears nothing."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 5.0
"""Seconds after a signal in which further ones are ignored: the program is on its way out already."""


class Terminated(BaseException):
    """SIGTERM arrived; what `KeyboardInterrupt` is to Ctrl-C."""


class _Signals:
    """What arrived, and how many `signals_held` are open. Handlers run on the main thread only."""

    held = 0
    waiting: int | None = None
    raised_at: float | None = None

    def receive(self, signum: int, frame: object) -> None:
        """The handler of both signals."""
        del frame
        self.waiting = signum
        if self.held == 0 and (self.raised_at is None or time.monotonic() - self.raised_at > PATIENCE):
            self.deliver()

    def deliver(self) -> None:
        """Raises what has arrived, if anything has."""
        if self.waiting is not None:
            self.raised_at = time.monotonic()
            raise Terminated if self.waiting == signal.SIGTERM else KeyboardInterrupt

    def lost(self) -> None:
        """What was raised has been swallowed: the signal is sent again, away from the place that swallows."""
        self.raised_at = None
        again = threading.Timer(0.1, self._send_again)
        again.daemon = True
        again.start()

    def _send_again(self) -> None:
        if self.waiting is not None and self.raised_at is None:
            os.kill(os.getpid(), self.waiting)


_signals = _Signals()


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM wait; they take effect at the end of the outermost one."""
    _signals.held += 1
    try:
        yield
    finally:
        _signals.held -= 1
    if _signals.held == 0:
        _signals.deliver()


def leave_in_peace() -> None:
    """For the last lines of a process: after an interruption no further signal disturbs its end.

    Python gives up its handlers before it is done, and a second Ctrl-C would then end it with another exit code.
    """
    if _signals.raised_at is not None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)


@contextlib.contextmanager
def signals_heard() -> Iterator[None]:
    """Inside, Ctrl-C raises `KeyboardInterrupt` and SIGTERM `Terminated`, but not within `signals_held`.

    One that is raised in a destructor or in JAX's callback of the garbage collector, where Python prints it and goes
    on, is not printed, and raised again. After one was raised the handlers stay: what follows is the way out, and a
    second signal would tear it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs handlers on the main thread only
        return
    _signals.waiting = _signals.raised_at = None
    wanted = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for a job in the background of a script
        wanted.append(signal.SIGINT)
    before = {signum: signal.signal(signum, _signals.receive) for signum in wanted}
    hook, sys.unraisablehook = sys.unraisablehook, _catching_lost(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        came, _signals.waiting = _signals.waiting, None
        if came is None:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def _catching_lost(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A hook for exceptions that Python can only print; ours are not printed."""

    def catch(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt | Terminated):
            _signals.lost()
        else:
            hook(unraisable)

    return catch
