"""Works out what comes next in another thread, while what came before is being dealt with."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], most: int) -> Generator[T, None, None]:
    """The items in their order, up to `most` of them worked out by another thread before they are asked for.

    Raises what working them out raises. Nothing goes on any more once this is closed.
    """
    ready: deque[T] = deque()
    changed = threading.Condition()
    over = closed = False
    failed: list[BaseException] = []

    def work() -> None:
        nonlocal over
        try:
            for item in items:
                with changed:
                    changed.wait_for(lambda: closed or len(ready) < most)
                    if closed:
                        return
                    ready.append(item)
                    changed.notify_all()
        except BaseException as error:
            failed.append(error)
        finally:
            with changed:
                over = True
                changed.notify_all()

    thread = threading.Thread(target=work, name="cerebelum-ahead", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: ready or over)
                if not ready:
                    break
                item = ready.popleft()
                changed.notify_all()
            yield item
        if failed:
            raise failed[0]
    finally:
        with changed:
            closed = True
            changed.notify_all()
        thread.join()
