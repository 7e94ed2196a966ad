"""What is asked of the queues' tables besides what Procrastinate asks itself, for one schema."""

from __future__ import annotations

from typing import LiteralString

from cerebelum.backends.postgres.address import Address
from cerebelum.backends.postgres.schema import literally
from cerebelum.backends.postgres.statements import NOW, Statement
from cerebelum.backends.sql.rows import RUNNER
from cerebelum.core.status import GOING_ON, WAITING
from cerebelum.store.contract import ChangeKind

TASK = "drive"
"""What the jobs of executions are called."""
STEP_TASK = "step"
"""What the jobs of steps are called."""
_TASKS = f"('{TASK}', '{STEP_TASK}')"
_BEGAN = "(extract(epoch FROM now()) * 1000000)::bigint"
"""When the transaction began: unlike NOW it does not change meanwhile, so that the server need not look row by row."""
_SILENT = 15_000_000
"""Microseconds without a beat after which another worker looks after a job. Whether its runner is dead, and may be
taken over, is found out then, by that worker's own clock."""
_TOLD = (
    "pg_notify('procrastinate_queue_v1#' || queue_name, json_build_object('type', 'job_inserted', 'job_id', id)::text)"
)
_RUNNER = ", ".join(f"r.{name}" for name in RUNNER)


def _putting_back(which: str) -> str:
    return (
        "WITH back AS (UPDATE {s}.procrastinate_jobs AS j SET status = 'todo', scheduled_at = now(), worker_id = NULL,"
        " attempts = j.attempts + 1,"
        f" args = CASE j.task_name WHEN '{STEP_TASK}' THEN j.args || '{{\"lost\": true}}' ELSE j.args END"
        f" WHERE j.task_name IN {_TASKS} AND j.status = 'doing'"
        f" AND {which} RETURNING id, queue_name) SELECT {_TOLD} FROM back"
    )


class PoolStatements:
    """The statements, each with its values described."""

    # Queue, priority, id, id, time.
    defer = Statement(
        "SELECT {s}.procrastinate_defer_jobs_v1(ARRAY[ROW(%s, '" + TASK + "', %s, NULL, %s,"
        " jsonb_build_object('execution', %s::text), %s)::{s}.procrastinate_job_to_defer_v1])"
    )
    # Queue, priority, key, execution, step, version, labels. Since when it could be taken is written beside it.
    defer_step = Statement(
        "SELECT {s}.procrastinate_defer_jobs_v1(ARRAY[ROW(%s, '" + STEP_TASK + "', %s, NULL, %s,"
        " jsonb_build_object('execution', %s::text, 'step', %s::text, 'handover', %s::int, 'labels',"
        " to_jsonb(%s::text[])), now())::{s}.procrastinate_job_to_defer_v1])"
    )
    # Key.
    has_job = Statement("SELECT 1 FROM {s}.procrastinate_jobs WHERE queueing_lock = %s AND status IN ('todo', 'doing')")
    # As procrastinate_fetch_job_v2, which knows nothing of labels; none of our jobs has a `lock`.
    fetch = Statement(
        "WITH candidate AS (SELECT id FROM {s}.procrastinate_jobs WHERE status = 'todo'"
        " AND queue_name = ANY (%(queues)s::varchar[]) AND (scheduled_at IS NULL OR scheduled_at <= now())"
        " AND coalesce(args->'labels', '[]') <@ to_jsonb(%(labels)s::text[])"
        " AND id <> ALL (%(left)s::bigint[])"
        " ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED),"
        " taken AS (UPDATE {s}.procrastinate_jobs AS j SET status = 'doing', worker_id = %(worker_id)s"
        " FROM candidate WHERE j.id = candidate.id RETURNING j.*)"
        " SELECT t.id, t.status, t.task_name, t.priority, t.lock, t.queueing_lock, t.args, t.scheduled_at,"
        " t.queue_name, t.attempts, t.worker_id FROM (SELECT 1) AS one LEFT JOIN taken AS t ON true"
    )
    # Left by this worker: what it was given stays as it was, so that it is as old as it is. Job.
    give_back = Statement(
        "WITH back AS (UPDATE {s}.procrastinate_jobs SET status = 'todo', worker_id = NULL, attempts = attempts + 1"
        f" WHERE id = %s RETURNING id, queue_name) SELECT {_TOLD} FROM back"
    )
    # Why, by key; the worker's id.
    leave = Statement("UPDATE {s}.workers SET leaves = %s WHERE id = %s")
    # Of what nobody is to do any more, because its execution has ended or somebody drives it by hand, a worker takes
    # notice when it comes to it: it does not wait.
    depths = Statement(
        "SELECT queue_name, count(*) FILTER (WHERE ready),"
        " extract(epoch FROM now() - min(since) FILTER (WHERE ready))::float8,"
        " count(*) FILTER (WHERE status = 'todo' AND NOT ready), count(*) FILTER (WHERE status = 'doing')"
        " FROM (SELECT j.queue_name, j.status::text AS status,"
        " j.status = 'todo' AND coalesce(j.scheduled_at, '-infinity') <= now() AS ready,"
        " greatest(coalesce(j.scheduled_at, '-infinity'), to_timestamp(e.started_at / 1e6)) AS since"
        " FROM {s}.procrastinate_jobs AS j JOIN {s}.executions AS e ON e.id = j.args->>'execution'"
        f" WHERE j.status = 'doing' OR (j.status = 'todo' AND e.status IN {GOING_ON}"
        f" AND (j.task_name = '{STEP_TASK}' OR e.owner IS NULL))) AS jobs GROUP BY queue_name ORDER BY queue_name"
    )
    workers = Statement(
        f"SELECT {NOW}, w.queues, w.labels, w.concurrency, w.version, w.draining,"
        " ARRAY(SELECT j.queueing_lock FROM {s}.procrastinate_jobs AS j"
        " WHERE j.worker_id = w.jobs_worker AND j.status = 'doing' ORDER BY j.id), to_jsonb(w)->'leaves',"
        " w.jobs_worker, "
        f"{_RUNNER} FROM {{s}}.workers AS w JOIN {{s}}.runners AS r ON r.id = w.id"
        " WHERE %s::text IS NULL OR r.host = %s ORDER BY r.started_at, r.id"
    )
    # Id.
    ahead = Statement(
        "SELECT count(o.id) FROM {s}.procrastinate_jobs AS me LEFT JOIN {s}.procrastinate_jobs AS o"
        " ON me.status = 'todo' AND o.queue_name = me.queue_name AND o.status = 'todo'"
        " AND coalesce(o.scheduled_at, '-infinity') <= now()"
        " AND (o.priority > me.priority OR (o.priority = me.priority AND o.id < me.id))"
        " WHERE me.queueing_lock = %s AND me.status IN ('todo', 'doing') GROUP BY me.id"
    )
    drain = Statement("UPDATE {s}.workers SET draining = true WHERE id = %s RETURNING 1")
    # The worker's id, what the jobs know it by, queues, labels, concurrency, version.
    enlist = Statement(
        "INSERT INTO {s}.workers (id, jobs_worker, queues, labels, concurrency, version)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET jobs_worker = excluded.jobs_worker"
    )
    draining = Statement("SELECT draining FROM {s}.workers WHERE id = %s")
    delist = Statement("DELETE FROM {s}.workers WHERE id = ANY(%s::text[])")
    # Job, worker.
    mine = Statement(
        "SELECT 1 FROM {s}.procrastinate_jobs WHERE id = %s AND worker_id = %s AND status = 'doing' FOR UPDATE"
    )
    # Workers, and jobs that are not meant.
    put_back = Statement(_putting_back("j.worker_id = ANY(%s::bigint[]) AND j.id <> ALL (%s::bigint[])"))
    turn = Statement("UPDATE {s}.pool SET swept_at = now() WHERE swept_at < now() - interval '1 s' RETURNING 1")
    # Of workers that are gone.
    _abandoned = Statement(
        _putting_back(
            "NOT EXISTS (SELECT 1 FROM {s}.workers AS w JOIN {s}.runners AS r ON r.id = w.id"
            f" WHERE w.jobs_worker = j.worker_id AND r.beat_at > {_BEGAN} - {_SILENT})"
        )
    )
    # Decided, handed over, ended by somebody else, or pruned. What is due soon anyhow is left to that.
    _woken = Statement(
        "WITH woken AS (UPDATE {s}.procrastinate_jobs AS j SET scheduled_at = now()"
        f" WHERE j.task_name = '{TASK}' AND j.status = 'todo' AND j.scheduled_at > now() + interval '10 s'"
        " AND NOT EXISTS (SELECT 1 FROM {s}.executions AS e WHERE e.id = j.queueing_lock"
        f" AND (e.status IN {('queued', *WAITING)}"
        " OR (e.status IN ('running', 'waiting_for_lock') AND e.owner IS NOT NULL)))"
        f" RETURNING id, queue_name) SELECT {_TOLD} FROM woken"
    )
    # Execution.
    wake = Statement(
        "WITH woken AS (UPDATE {s}.procrastinate_jobs SET scheduled_at = now()"
        f" WHERE queueing_lock = %s AND task_name = '{TASK}' AND status = 'todo' AND scheduled_at > now()"
        f" RETURNING id, queue_name) SELECT {_TOLD} FROM woken"
    )
    # Put back, and no worker that could has taken them since.
    forlorn = Statement(
        "SELECT args->>'execution', args->>'step', (args->>'handover')::int FROM {s}.procrastinate_jobs"
        f" WHERE task_name = '{STEP_TASK}' AND status = 'todo' AND args ? 'lost'"
        " AND scheduled_at < now() - interval '3 s' ORDER BY random() LIMIT 16"
    )
    # Keys.
    withdraw = Statement("DELETE FROM {s}.procrastinate_jobs WHERE queueing_lock = ANY(%s::text[]) AND status = 'todo'")
    # Time has come, which nobody announces.
    _due = Statement(
        f"SELECT {_TOLD} FROM {{s}}.procrastinate_jobs WHERE status = 'todo'"
        " AND scheduled_at BETWEEN now() - interval '2 s' AND now()"
    )
    _gone = Statement(
        "DELETE FROM {s}.workers AS w USING {s}.runners AS r WHERE r.id = w.id"
        f" AND r.beat_at < {_BEGAN} - 3600 * 1000000::bigint"
    )
    # Those that came from elsewhere.
    jobless = Statement(
        "SELECT e.id, v.data FROM {s}.executions AS e"
        " JOIN {s}.events AS v ON v.execution_id = e.id AND v.version = 1"
        " WHERE e.status = 'queued' AND NOT EXISTS (SELECT 1 FROM {s}.procrastinate_jobs AS j"
        " WHERE j.queueing_lock = e.id AND j.status IN ('todo', 'doing')) ORDER BY e.started_at LIMIT 1000"
    )

    def __init__(self, address: Address) -> None:
        self._schema = address.quoted_schema.replace("%", "%%")

    @property
    def sweeps(self) -> tuple[LiteralString, ...]:
        """What is done for all workers, in this order."""
        return self._abandoned, self._woken, self._due, self._gone

    def made(self, text: str, kind: ChangeKind, of: str) -> LiteralString:
        """The statement for this schema; none of these tells of changes itself."""
        return literally(text.replace("{s}", self._schema))
