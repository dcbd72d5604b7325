"""File work in the background: answers arrive on the caller's thread, and the end cuts nothing short."""

from __future__ import annotations

import threading

from core.errors import DataError
from m2v_studio.document.state import Notice
from m2v_studio.work.tasks import Tasks


def test_closing_waits_for_what_runs_and_drops_what_is_queued() -> None:
    tasks, go = Tasks(), threading.Event()
    done: list[object] = []
    began = threading.Event()

    def save() -> str:
        began.set()
        go.wait(20)
        return "saved"

    tasks.run("Saving", save, done.append, done.append)
    tasks.run("Opening", lambda: "opened", done.append, done.append)
    assert began.wait(20) and tasks.busy == "Saving"
    threading.Timer(0.05, go.set).start()
    tasks.close()
    tasks.poll()
    assert done == ["saved"] and tasks.busy == ""


def test_a_fault_becomes_a_notice_and_bad_input_its_own_sentence() -> None:
    tasks, notices = Tasks(), list[Notice]()
    sentence = "There is nothing to save yet; open a mesh first."

    def fail(error: Exception) -> None:
        raise error

    tasks.run("Saving", lambda: fail(DataError(sentence)), lambda _: None, notices.append)
    tasks.run("Saving", lambda: fail(ZeroDivisionError("1/0")), lambda _: None, notices.append)
    tasks.close()
    tasks.poll()
    assert len(notices) >= 1 and notices[0].message == sentence and notices[0].detail == ""
