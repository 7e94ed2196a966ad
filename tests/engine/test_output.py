"""What attempts print: all of it while it is small, its head and tail when it is not, byte for byte, as it comes."""

import json
import subprocess
import sys
import tracemalloc
from itertools import pairwise

import pytest

from cerebelum.engine.settings import Settings
from cerebelum.host.clock import SystemClock
from cerebelum.steps.log import AttemptOutput, LogWriter
from cerebelum.steps.masking import Masker
from cerebelum.store import Chunk, Query
from tests.engine.harness import ROOT, Lab, failure, in_thread, output


def chunks(lab: Lab, step: str = "a") -> list[Chunk]:
    return list(lab.client().logs("last", step=step))


def gaps(found: list[Chunk]) -> list[tuple[int, int]]:
    """Where bytes were left out: from offset, to offset."""
    ends = [(c.offset + len(c.data), n.offset) for c, n in pairwise(found)]
    return [(end, start) for end, start in ends if end != start]


def test_a_step_that_prints_50_mb_keeps_head_and_tail_and_the_engine_stays_small(lab: Lab) -> None:
    lab.write(
        'steps: [{id: a, run: \'echo first; head -c 50000000 /dev/zero | tr "\\\\0" "x"; echo; echo last\'}]',
        "big.yaml",
    )
    script = """
import json, resource, sys
from pathlib import Path
from tests.engine.harness import Lab
lab = Lab(Path(sys.argv[1]), sys.argv[2])
lab.run("steps: [{id: warm, run: echo warm}]")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = lab.run(lab.folder / "big.yaml")
print(json.dumps([result.exit_code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(lab.folder), lab.url],
        env={**lab.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    code, grown = json.loads(done.stdout)
    assert code == 0
    assert grown < 64
    found = chunks(lab)
    assert found[0].data.startswith(b"first\n")
    assert b"".join(c.data for c in found[-2:]).endswith(b"x\nlast\n")
    assert len(gaps(found)) == 1
    assert found[-1].offset + len(found[-1].data) == 50_000_000 + len("first\n\nlast\n")
    assert (16 << 20) <= sum(len(c.data) for c in found) < (17 << 20)


@pytest.mark.parametrize("limit", [100, 1000, 1 << 20])
def test_how_much_is_kept_is_a_setting(lab: Lab, limit: int) -> None:
    lab.run("steps: [{id: a, run: seq 100000}]", settings=Settings(log_limit=limit))
    everything = "".join(f"{n}\n" for n in range(1, 100001)).encode()
    found = chunks(lab)
    kept = b"".join(c.data for c in found)
    if limit >= len(everything):
        assert kept == everything
    else:
        ((start, end),) = gaps(found)
        assert start == limit // 2
        assert kept == everything[:start] + everything[end:]
        assert limit <= len(kept) <= limit + (64 << 10)


def test_many_small_writes_take_no_more_memory_than_a_few_large_ones(lab: Lab) -> None:
    client = lab.client()
    lab.run("steps: [{id: a, run: 'true'}]")
    writer = LogWriter(client.store, client.resolve("last"), lambda error: None)
    sink = AttemptOutput(writer, "a", 1, masker=Masker({}), clock=SystemClock(), limit=400_000)
    tracemalloc.start()
    try:
        for number in range(30_000):
            sink.write("stdout", b"%020d\n" % number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sink.close()
    writer.close()
    assert held < 1_500_000
    found = chunks(lab)
    assert found[-1].data.endswith(b"%020d\n" % 29_999)


def test_nul_and_invalid_utf8_and_escapes_are_kept_exactly(lab: Lab) -> None:
    data = bytes(range(256)) + b"\x1b[31mred\x1b[0m\xff\xfe\0\0\xc3"
    (lab.folder / "data").write_bytes(data)
    lab.run("steps: [{id: a, run: cat data; exit 1}]")
    assert lab.log() == data
    error = failure(lab.events(), "a").error
    assert error.tail is not None
    assert "red" in error.tail


def test_stdout_and_stderr_keep_their_order_and_their_names(lab: Lab) -> None:
    # Two pipes have no common order but that of time, so the step leaves some between its lines.
    lab.run("steps: [{id: a, run: 'for n in 1 2 3; do echo out $n; sleep 0.2; echo err $n >&2; sleep 0.2; done'}]")
    assert [(c.stream, c.data.decode()) for c in chunks(lab)] == [
        *(("stdout", "out 1\n"), ("stderr", "err 1\n"), ("stdout", "out 2\n"), ("stderr", "err 2\n")),
        *(("stdout", "out 3\n"), ("stderr", "err 3\n")),
    ]


def test_logs_can_be_followed_while_a_step_runs(lab: Lab) -> None:
    go = lab.fifo("go")
    wait = in_thread(lambda: lab.run("steps: [{id: a, run: echo begun; read x < go; echo ended}]"))
    client = lab.client()
    while not client.list(Query()).rows:
        pass
    seen: list[bytes] = []
    for chunk in client.logs("last", follow=True, wait=lambda: None):
        seen.append(chunk.data)
        if len(seen) == 1:
            assert client.status("last").status == "running"
            go.write_text("go\n")
    assert b"".join(seen) == b"begun\nended\n"
    assert wait().exit_code == 0


def test_each_attempts_log_is_kept_apart(lab: Lab) -> None:
    lab.run("steps: [{id: a, retry: {attempts: 3, delay: 1ms}, run: 'echo try $CEREBELUM_ATTEMPT; exit 1'}]")
    assert [lab.log("a", n) for n in (1, 2, 3)] == [f"try {n}\n".encode() for n in (1, 2, 3)]
    assert lab.log("a") == b"try 1\ntry 2\ntry 3\n"


def test_a_screen_that_goes_away_does_not_fail_the_step(lab: Lab) -> None:
    class Gone:
        def output(self, step: str, attempt: int, stream: str, data: bytes) -> None:
            raise BrokenPipeError

        def left_out(self, step: str, attempt: int) -> None: ...

        def ended(self, step: str, attempt: int) -> None: ...

    assert lab.run("steps: [{id: a, run: echo hello}]", settings=Settings(live=Gone())).exit_code == 0
    assert lab.log() == b"hello\n"


def test_the_screen_is_told_once_from_where_output_is_left_out(lab: Lab) -> None:
    told: list[object] = []

    class Screen:
        def output(self, step: str, attempt: int, stream: str, data: bytes) -> None:
            told.append(len(data))

        def left_out(self, step: str, attempt: int) -> None:
            told.append("left out")

        def ended(self, step: str, attempt: int) -> None:
            told.append("ended")

    lab.run(
        "steps: [{id: a, run: 'printf 1234567890; sleep 0.02; printf 1234567890; sleep 0.02; printf 1'}]",
        settings=Settings(live=Screen(), log_limit=20),
    )
    assert told == [10, "left out", "ended"]


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("output: text, run: head -c 1100000 /dev/zero | tr '\\0' x", "output", "1 MiB"),
        (
            'run: \'printf "k=%s\\n" "$(head -c 1100000 /dev/zero | tr "\\\\0" x)" >> $CEREBELUM_OUTPUT\'',
            "output",
            "1 MiB",
        ),
        ("output: json, run: echo nonsense", "output", "not JSON"),
        ("output: json, run: echo NaN", "output", "NaN"),
        ("output: json, run: echo '1{}'", "output", "not JSON"),
        ("output: json, run: echo 123456789012345678901234567890", "output", "64 bits"),
        ("output: json, run: 'true'", "output", "empty"),
        ("run: echo 'no pair' >> $CEREBELUM_OUTPUT", "output", "neither KEY=value"),
        ("run: not-a-command-anywhere", "exit", "not found"),
        ("shell: not-a-shell, run: x", "not_found", "not-a-shell"),
        ("python: 'tasks.py:nan'", "output", "nan"),
        ("python: 'tasks.py:big'", "output", "1 MiB"),
        ("python: 'tasks.py:leave'", "exception", "SystemExit"),
    ],
)
def test_an_output_that_cannot_be_recorded_or_a_command_that_is_not_there_fails_its_step_with_a_reason(
    lab: Lab, step: str, kind: str, words: str
) -> None:
    lab.write(
        """
        def nan():
            return float("nan")
        def big():
            return "x" * 1_100_000
        def leave():
            raise SystemExit(3)
        """,
        "tasks.py",
    )
    flow = "steps:\n  - id: a\n" + "".join(f"    {key}\n" for key in step.split(", "))
    assert lab.run(flow).exit_code == 1
    error = failure(lab.events(), "a").error
    assert error.kind == kind, error
    assert words in error.message, error


def test_an_output_just_under_the_limit_is_kept_whole(lab: Lab) -> None:
    lab.run("steps: [{id: a, output: text, run: 'head -c 1000000 /dev/zero | tr \"\\\\0\" x'}]")
    assert output(lab.events(), "a") == "x" * 1_000_000


def test_an_environment_too_large_for_the_system_is_explained(lab: Lab) -> None:
    lab.run("""
        steps:
          - {id: a, output: text, run: 'head -c 200000 /dev/zero | tr "\\0" x'}
          - {id: b, env: {HUGE: '${{ steps.a.output }}'}, run: 'true'}
        """)
    error = failure(lab.events(), "b").error
    assert error.kind == "environment"
    assert "HUGE" in error.message


def test_an_expression_without_a_value_fails_its_step_and_names_it(lab: Lab) -> None:
    lab.run("""
        steps:
          - {id: a, run: 'echo "x=1" >> "$CEREBELUM_OUTPUT"'}
          - {id: b, env: {V: '${{ steps.a.output.y }}'}, run: 'true'}
        """)
    error = failure(lab.events(), "b").error
    assert "y" in error.message
    assert error.traceback is None
