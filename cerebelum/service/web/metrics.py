"""Counts for Prometheus, in its text format: what the server did, and what it finds in the store."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds in seconds for what a store answers."""
SLOW = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)
"""Bounds in seconds for what steps take."""

Labels = tuple[str, ...]


class Counts:
    """Something that is counted, by labels. May be added to from any thread."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), kind: str = "counter") -> None:
        self._head = _head(name, about, kind)
        self._name = name
        self._labels = labels
        self._values: Counter[Labels] = Counter() if labels else Counter({(): 0})
        self._lock = threading.Lock()

    def add(self, *labels: str) -> None:
        """One more."""
        with self._lock:
            self._values[labels] += 1

    def lines(self) -> Iterator[str]:
        """As Prometheus reads them."""
        yield from self._head
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self._name}{_braces(zip(self._labels, labels, strict=True))} {value}"


class Histogram:
    """Lengths of time, by labels. May be added to from any thread."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._head = _head(name, about, "histogram")
        self._name = name
        self._bounds = bounds
        self._labels = labels
        self._counts: defaultdict[Labels, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[Labels, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, seconds: float, *labels: str) -> None:
        """One more."""
        with self._lock:
            self._counts[labels][bisect_left(self._bounds, seconds)] += 1
            self._sums[labels] += seconds

    def lines(self) -> Iterator[str]:
        """As Prometheus reads them."""
        yield from self._head
        with self._lock:
            found = sorted((labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items())
        for labels, counts, total in found:
            named, so_far = list(zip(self._labels, labels, strict=True)), 0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=True):
                so_far += count
                yield f"{self._name}_bucket{_braces([*named, ('le', bound)])} {so_far}"
            yield f"{self._name}_sum{_braces(named)} {_number(total)}"
            yield f"{self._name}_count{_braces(named)} {so_far}"


def gauge(name: str, about: str, values: Mapping[Labels, float], labels: Sequence[str] = ()) -> Iterator[str]:
    """What stands at some value now, by labels."""
    yield from _head(name, about, "gauge")
    for of, value in values.items():
        yield f"{name}{_braces(zip(labels, of, strict=True))} {_number(value)}"


def _head(name: str, about: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def _braces(named: zip[tuple[str, str]] | Sequence[tuple[str, str]]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in named)
    return f"{{{inside}}}" if inside else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(float(value))


class Metrics:
    """What the server counts of itself."""

    def __init__(self) -> None:
        self.requests = Counts(
            "cerebelum_http_requests_total", "Requests, by the form of their address.", ("route", "method", "code")
        )
        self.store = Histogram("cerebelum_store_request_seconds", "Looks at the store, while they were made.", QUICK)
        self.store_errors = Counts("cerebelum_store_errors_total", "Looks at the store that failed.")
        since = "since the first time these metrics were asked for"
        self.steps = Histogram(
            "cerebelum_step_seconds", f"Attempts of steps that were seen to complete {since}.", SLOW, ("workflow",)
        )
        self.failures = Counts("cerebelum_step_failures_total", f"Attempts seen to fail {since}.", ("workflow",))
        self.retries = Counts("cerebelum_step_retries_total", f"Retries seen to be due {since}.", ("workflow",))

    def looked(self, seconds: float, failed: bool) -> None:
        """A look at the store took so long."""
        self.store.add(seconds)
        if failed:
            self.store_errors.add()

    def lines(self) -> Iterator[str]:
        """All of them."""
        for one in (self.requests, self.store, self.store_errors, self.steps, self.failures, self.retries):
            yield from one.lines()
