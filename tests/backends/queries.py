"""What `list` and `supervise` ask of a store, filter by filter: an index serves each, whatever the store."""

from __future__ import annotations

from cerebelum.backends.conformance.kit import START
from cerebelum.store import Query

QUERIES = {
    "everything": Query(),
    "since": Query(since=START),
    "status": Query(status=("failed",)),
    "statuses": Query(status=("failed", "paused", "running"), since=START),
    "dead": Query(status=("paused",), dead_runners=("runner-1",)),
    "alive": Query(status=("running", "sleeping"), dead_runners=("runner-1",)),
    "workflow": Query(workflow="deploy", since=START),
    "workflow and status": Query(workflow="deploy", status=("failed", "completed")),
    "tag": Query(tag=("nightly",)),
    "tags": Query(tag=("nightly", "linux"), since=START, status=("failed",), workflow="deploy"),
    "id": Query(id="deploy-1"),
    "prefix": Query(id_prefix="deploy-"),
    "due": Query(due_before=START, status=("sleeping", "waiting_for_approval")),
}
SORTED = {"id", "prefix", "due"}
"""Those that find few, by an index that does not order by start."""
