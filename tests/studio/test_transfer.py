"""What is large in a message between processes goes beside it and arrives as it was."""

from __future__ import annotations

import multiprocessing
import threading
import tracemalloc

import numpy as np
import pytest

from core.sequence import Handle, MeshSequence
from m2v_studio.work import messages as messages  # how handles travel
from m2v_studio.work.transfer import PART, receive, send


def test_messages_arrive_in_order_and_whole() -> None:
    ours, theirs = multiprocessing.Pipe()
    random = np.random.default_rng(1)
    large = random.random((3, 40_000, 3), np.float32)
    sequence = MeshSequence(large, np.array([[0, 1, 2]], np.int32), name="large")
    turned = np.asfortranarray(random.random((400, 300)))
    sent = [sequence, ("small", np.arange(3), None), [turned, large[:, ::2]], Handle(3, {2: np.ones(3)})]
    sender = threading.Thread(target=lambda: [send(theirs, message) for message in sent])
    sender.start()
    first, second, third, fourth = (receive(ours) for _ in sent)
    sender.join()
    assert first.name == "large" and np.array_equal(first.vertices, large) and not ours.poll()
    assert second[0] == "small" and np.array_equal(second[1], np.arange(3))
    assert np.array_equal(third[0], turned) and np.array_equal(third[1], large[:, ::2])
    assert fourth.vertex == 3 and np.array_equal(fourth.keys[2], np.ones(3))


def test_a_large_array_is_not_copied_to_be_sent() -> None:
    ours, theirs = multiprocessing.Pipe()
    array = np.ones((30, 100_000), np.float64)  # 24 MB
    tracemalloc.start()
    sender = threading.Thread(target=send, args=(theirs, array))
    sender.start()
    found = receive(ours)
    sender.join()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == array.shape and most < array.nbytes + 8 * PART


def test_an_end_that_is_gone_is_an_error() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises((EOFError, OSError)):
        receive(ours)
    with pytest.raises(OSError):
        send(ours, np.ones(1 << 20))
