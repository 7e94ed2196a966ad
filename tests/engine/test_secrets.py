"""Secrets reach the steps that declare them, and nothing that is kept: the raw bytes of the store are searched."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from cerebelum.core.errors import UsageError
from cerebelum.core.events import StepFailed
from cerebelum.definition.inputs import Text
from cerebelum.engine.settings import Settings
from cerebelum.store import Query
from tests.engine.harness import Lab, await_words, failure, in_thread

SECRET = 's3cr"t/wörd+&x=1'
FORMS = {
    "raw": SECRET.encode(),
    "base64": b64encode(SECRET.encode()),
    "url": quote(SECRET, safe="").encode(),
    "json": json.dumps(SECRET)[1:-1].encode(),
    "json, unicode": json.dumps(SECRET, ensure_ascii=False)[1:-1].encode(),
}
ENV = {"TOKEN": SECRET}


def assert_absent(lab: Lab) -> None:
    raw = lab.raw()
    assert b"ExecutionStarted" in raw, "nothing was recorded: the search proves nothing"
    for name, form in FORMS.items():
        assert form not in raw, f"the store holds the secret ({name})"


def test_only_steps_that_declare_a_secret_get_it_although_it_is_in_the_environment(lab: Lab) -> None:
    lab.run(
        """
        steps:
          - {id: a, secrets: [TOKEN], run: 'printf %s "$TOKEN" > seen-a'}
          - {id: b, run: 'printf %s "${TOKEN-none}" > seen-b'}
          - {id: c, secrets: [OTHER], run: 'printf %s "${TOKEN-none}$OTHER" > seen-c'}
        """,
        environ={**ENV, "OTHER": "another"},
    )
    assert (lab.folder / "seen-a").read_text() == SECRET
    assert (lab.folder / "seen-b").read_text() == "none"
    assert (lab.folder / "seen-c").read_text() == "noneanother"


def test_no_form_of_a_secret_is_in_the_store_neither_while_a_step_runs_nor_afterwards(lab: Lab) -> None:
    printed, go = lab.fifo("printed"), lab.fifo("go")
    path = lab.write(r"""
        secrets: [TOKEN]
        steps:
          - id: a
            run: |
              echo "raw $TOKEN."; printf %s "$TOKEN" | base64 >&2
              python3 -c "import os, json, urllib.parse as u; t = os.environ['TOKEN']; print(json.dumps(t), u.quote(t))"
              printf '%s' "${TOKEN:0:6}"; sleep 0.05; printf '%s\n' "${TOKEN:6}"
              echo ready > printed; read x < go
              echo "error: $TOKEN is wrong" >&2; exit 1
        """)
    wait = in_thread(lambda: lab.run(path, environ=ENV))
    await_words(printed)
    name = lab.client().resolve("last")
    while len(list(lab.client().logs(name))) < 3:
        pass
    assert_absent(lab)
    go.write_text("go\n")
    assert wait().exit_code == 1
    assert_absent(lab)
    log = lab.log().decode()
    assert log.count("***") == 6, log
    tail = failure(lab.events(), "a").error.tail
    assert tail is not None
    assert "error: *** is wrong" in tail


def test_a_python_exception_shows_no_secret_in_message_or_traceback(lab: Lab) -> None:
    lab.write(
        """
        import os
        def leak(context):
            token = context.secrets["TOKEN"]
            print("printed", token)
            raise ValueError(f"bad token {token}")
        """,
        "tasks.py",
    )
    for isolated in ("false", "true"):
        lab.run(f"steps: [{{id: a, secrets: [TOKEN], python: 'tasks.py:leak', isolated: {isolated}}}]", environ=ENV)
        error = failure(lab.events(), "a").error
        assert error.message.endswith("bad token ***")
        assert error.traceback is not None
        assert "ValueError: bad token ***" in error.traceback
        assert lab.log() == b"printed ***\n"
    assert_absent(lab)


@pytest.mark.parametrize(
    "step",
    [
        'run: \'echo "key=$TOKEN" >> "$CEREBELUM_OUTPUT"\'',
        "output: text, run: 'printf %s \"$TOKEN\" | base64'",
        "python: 'tasks.py:give'",
    ],
    ids=["file", "text", "python"],
)
def test_an_output_that_holds_a_secret_fails_the_step_and_names_the_key(lab: Lab, step: str) -> None:
    lab.write("def give(context):\n    return {'key': [context.secrets['TOKEN']]}\n", "tasks.py")
    lab.run(f"steps: [{{id: a, retry: {{attempts: 3, delay: 1ms}}, secrets: [TOKEN], {step}}}]", environ=ENV)
    failures = [e for e in lab.events() if isinstance(e, StepFailed)]
    assert len(failures) == 1
    assert failures[0].error.kind == "secret"
    assert "TOKEN" in failures[0].error.message
    assert ("output" if "text" in step else "key") in failures[0].error.message
    assert_absent(lab)


@pytest.mark.parametrize(
    "value", [SECRET, f"https://x:{quote(SECRET, safe='')}@host", b64encode(SECRET.encode()).decode()]
)
def test_an_input_that_holds_a_secret_is_refused_before_anything_is_recorded(lab: Lab, value: str) -> None:
    with pytest.raises(UsageError, match="TOKEN") as refusal:
        lab.run(
            "secrets: [TOKEN]\ninputs: {x: {type: string}}\nsteps: [{id: a, run: 'true'}]",
            {"x": Text(value)},
            environ=ENV,
        )
    assert SECRET not in refusal.value.text()
    assert lab.client().list(Query()).rows == []


def test_a_workflow_or_a_tag_that_holds_a_secret_is_refused(lab: Lab) -> None:
    with pytest.raises(UsageError, match="TOKEN"):
        lab.run("secrets: [TOKEN]\nsteps: [{id: a, run: echo hunter22}]", environ={"TOKEN": "hunter22"})
    with pytest.raises(UsageError, match="tag"):
        lab.run("secrets: [TOKEN]\nsteps: [{id: a, run: 'true'}]", environ={"TOKEN": "hunter22"}, tags=["xhunter22"])
    with pytest.raises(UsageError, match="id"):
        lab.run(
            "secrets: [TOKEN]\nsteps: [{id: a, run: 'true'}]", environ={"TOKEN": "hunter22"}, execution_id="hunter22"
        )
    assert lab.client().list(Query()).rows == []


def test_missing_secrets_are_all_named_before_anything_starts_on_run_and_on_resume(lab: Lab) -> None:
    path = lab.write(
        "secrets: [ONE]\nsteps: [{id: a, run: echo a >> done; exit 1}]\nfinally: [{id: f, secrets: [TWO], run: 'true'}]"
    )
    with pytest.raises(UsageError, match="ONE, TWO"):
        lab.run(path)
    assert lab.lines("done") == []
    name = lab.run(path, environ={"ONE": "first", "TWO": "second"}).execution_id
    before = lab.events(name)
    with pytest.raises(UsageError, match="TWO") as refusal:
        lab.resume(name, environ={"ONE": "first"})
    assert refusal.value.exit_code == 2
    assert lab.events(name) == before
    assert lab.lines("done") == ["a"]


@pytest.mark.parametrize("value", ["abc", "  a  ", "\n\n\n\n\n"])
def test_what_is_too_short_to_be_masked_is_refused(lab: Lab, value: str) -> None:
    with pytest.raises(UsageError, match="TOKEN"):
        lab.run("secrets: [TOKEN]\nsteps: [{id: a, run: 'true'}]", environ={"TOKEN": value})


def test_a_key_of_several_lines_is_masked_line_by_line(lab: Lab) -> None:
    lines = [b64encode(bytes([n]) * 48).decode() for n in range(1, 6)]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"]) + "\n"
    lab.run(
        'secrets: [KEY]\nsteps: [{id: a, run: \'echo "$KEY" | sed -n 3p; echo "$KEY"; echo end\'}]',
        environ={"KEY": pem},
    )
    raw = lab.raw()
    assert b"end" in lab.log()
    assert not [line for line in lines if line.encode() in raw]


def test_what_is_shown_live_and_told_to_listeners_is_masked_too(lab: Lab) -> None:
    shown: list[object] = []

    class Screen:
        def output(self, step: str, attempt: int, stream: str, data: bytes) -> None:
            shown.append(data)

        def left_out(self, step: str, attempt: int) -> None: ...

        def ended(self, step: str, attempt: int) -> None:
            shown.append("ended")

    settings = Settings(live=Screen(), listeners=(lambda _, event: shown.append(event),))
    lab.run(
        "secrets: [TOKEN]\nsteps: [{id: a, run: 'echo \"$TOKEN\"; exit 1'}]",
        environ={"TOKEN": "hunter22"},
        settings=settings,
    )
    assert b"***\n" in shown
    assert "ended" in shown
    assert "hunter22" not in repr(shown)


def test_masking_holds_on_resume_too(lab: Lab) -> None:
    lab.run("secrets: [TOKEN]\nsteps: [{id: a, run: 'echo \"$TOKEN\"; exit 1'}]", environ=ENV)
    lab.resume(environ=ENV)
    assert lab.log() == b"***\n***\n"
    assert_absent(lab)
