"""Several devices at once: answers in order, errors, and an end for all."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from profilers.side_by_side import check, pause, side_by_side


def test_answers_come_in_order_and_at_the_same_time():
    meet = threading.Barrier(3, timeout=30)

    def ask(number: int) -> int:
        meet.wait()
        return number * number

    assert side_by_side([3, 1, 2], ask) == [9, 1, 4]
    assert side_by_side([], ask) == []
    assert side_by_side([2], lambda n: n + 1) == [3], "one alone needs no thread"


def test_an_error_of_one_is_raised_when_the_others_are_done():
    done = []

    def ask(number: int) -> None:
        if number == 0:
            raise ValueError("the first")
        done.append(number)

    with pytest.raises(ValueError, match="the first"):
        side_by_side([0, 1, 2], ask)
    assert sorted(done) == [1, 2]
    check()
    pause(0)


WAITING = """
import sys, time
from profilers.side_by_side import check, pause, side_by_side

def ask(wait):
    try:
        print("waiting", flush=True)
        wait()
    except KeyboardInterrupt:
        print("ended", flush=True)
        raise

def look():
    while True:
        check()
        time.sleep(0.01)

try:
    side_by_side([lambda: pause(1000), look], ask)
except KeyboardInterrupt:
    print("all ended", flush=True)
"""


def test_ctrl_c_ends_all():
    command = ["env", "--default-signal=INT", sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        try:
            assert [waiting.stdout.readline() for _ in range(2)] == ["waiting\n"] * 2
            os.kill(waiting.pid, signal.SIGINT)
            said, _ = waiting.communicate(timeout=30)
        finally:
            waiting.kill()
    assert said.split("\n") == ["ended", "ended", "all ended", ""]
