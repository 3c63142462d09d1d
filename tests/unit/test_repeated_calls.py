"""A call that is repeated while a block runs."""

import threading
import time

from mtray.repeated_calls import repeated


def test_it_is_made_until_the_block_ends_and_not_after_it():
    made, names, thrice = [], set(), threading.Event()

    def call():
        made.append(1)
        names.add(threading.current_thread().name)
        if len(made) == 3:
            thrice.set()

    with repeated(call, 0.005, "looks"):
        assert thrice.wait(30)
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count and names == {"looks"}
    assert not any(thread.name == "looks" for thread in threading.enumerate())
