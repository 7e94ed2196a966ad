"""The password of a store is in the environment of whoever runs, and so of every step: nothing that is kept has it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from cerebelum.core.errors import UsageError
from cerebelum.core.events import StepFailed
from cerebelum.host.addresses import hidden, revealing, showable, without_passwords
from tests.engine.harness import Lab

STRONG = "hVz7@kQ/2pL"
URL = "postgresql://deploy:hVz7%40kQ%2F2pL@db.example/cerebelum?sslmode=require"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:pw@h", "postgresql://u:***@h"),
        ("postgresql://u:p%40w@h:5432/db?x=1", "postgresql://u:***@h:5432/db?x=1"),
        ("postgresql://:pw@/db", "postgresql://:***@/db"),
        ("postgresql://u:pw@[::1]:5432/db", "postgresql://u:***@[::1]:5432/db"),
        ("postgresql://u:pw@h1:1,h2:2/db?application_name=a@b", "postgresql://u:***@h1:1,h2:2/db?application_name=a@b"),
        # Not quoted, as they should be.
        ("postgresql://u:p@w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p/w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p?w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p?password=w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://h/db?user=u&password=p@w&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("postgresql://h?sslpassword=p/w", "postgresql://h?sslpassword=***"),
        ("postgresql://u:pw@h/db?SSLPassword=a&pass%77ord=b", "postgresql://u:***@h/db?SSLPassword=***&pass%77ord=***"),
        # Nothing to hide.
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:@h/db", "postgresql://u:@h/db"),
        ("postgresql://h:5432/db?x=a:b@c", "postgresql://h:5432/db?x=a:b@c"),
        ("postgresql:///db?host=/run&password=", "postgresql:///db?host=/run&password="),
        ("postgresql://u@[::1]:5432/db", "postgresql://u@[::1]:5432/db"),
        ("sqlite:////srv/a:b@c/x.db", "sqlite:////srv/a:b@c/x.db"),
        ("/srv/a:b@c/x.db", "/srv/a:b@c/x.db"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_store_has_no_password_and_all_else(url: str, shown: str) -> None:
    assert showable(url) == shown
    assert showable(shown) == shown
    assert bool(revealing({"CEREBELUM_STORE": url})) == (url != shown)


def test_a_message_of_a_library_loses_the_password_and_the_rest_stays() -> None:
    message = f'invalid percent-encoded token: "{STRONG}" in {URL}: password authentication failed'
    masked = without_passwords(message, [URL])
    assert masked == (
        'invalid percent-encoded token: "***" in '
        "postgresql://deploy:***@db.example/cerebelum?sslmode=require: password authentication failed"
    )
    assert without_passwords("see 'mysql://a:b@c/d'") == "see 'mysql://a:***@c/d'", "also of a URL that nobody told of"
    weak = "postgresql://app:password@db/app"
    assert (
        without_passwords("password authentication failed for app", [weak]) == "password authentication failed for app"
    )


@pytest.mark.parametrize(
    ("environ", "masked"),
    [
        ({"CEREBELUM_STORE": URL}, {"hVz7%40kQ%2F2pL", STRONG}),
        ({"CEREBELUM_STORE": "postgresql://u@h/d?password=x8Kd02md"}, {"x8Kd02md"}),
        ({"PGPASSWORD": "x8Kd02md"}, {"x8Kd02md"}),
        # Words that stand in many a text.
        ({"CEREBELUM_STORE": "postgresql://postgres:postgres@h/d"}, {"postgres:postgres@"}),
        ({"CEREBELUM_STORE": "postgresql://ci:test@h/d"}, {"ci:test@"}),
        ({"CEREBELUM_STORE": "postgresql://ci:password@h/d"}, {"ci:password@"}),
        ({"CEREBELUM_STORE": "postgresql://h/d?user=a&password=b"}, {"password=b"}),
        ({"PGPASSWORD": "secret"}, {"PGPASSWORD=secret"}),
        ({"CEREBELUM_STORE": "/srv/x.db", "PGPASSWORD": ""}, set()),
    ],
)
def test_a_password_is_masked_alone_where_that_hides_nothing_else(environ: dict[str, str], masked: set[str]) -> None:
    assert set(hidden(environ).values()) == masked


def assert_absent(lab: Lab) -> None:
    raw = lab.raw()
    assert b"ExecutionStarted" in raw, "nothing was recorded: the search proves nothing"
    for form in (STRONG, "hVz7%40kQ%2F2pL", "x8Kd02md", b64encode(STRONG.encode()).decode()[:12]):
        assert form.encode() not in raw


def test_no_form_of_it_is_in_the_store_whatever_the_steps_print(lab: Lab) -> None:
    lab.run(
        """
        steps:
          - id: a
            run: |
              env; printf %s "$CEREBELUM_STORE" | base64 >&2; echo "${CEREBELUM_STORE:0:28}"; printf '%s' "$PGPASSWORD"
              python3 -c "import os, urllib.parse as u; print(u.unquote(os.environ['CEREBELUM_STORE']))"
              echo "cannot reach $CEREBELUM_STORE" >&2; exit 1
        """,
        environ={"CEREBELUM_STORE": URL, "PGPASSWORD": "x8Kd02md"},
    )
    assert_absent(lab)
    log = lab.log().decode()
    assert "CEREBELUM_STORE=postgresql://deploy:***@db.example/cerebelum?sslmode=require" in log
    assert "PGPASSWORD=***" in log
    [failure] = [event for event in lab.events() if isinstance(event, StepFailed)]
    assert "cannot reach postgresql://deploy:***@db.example" in (failure.error.tail or "")


def test_an_output_with_it_fails_the_step_and_an_input_or_a_definition_is_refused(lab: Lab) -> None:
    environ = {"CEREBELUM_STORE": URL}
    result = lab.run('steps: [{id: a, run: echo "$CEREBELUM_STORE", output: text}]', environ=environ)
    error = result.state.steps["a"].error
    assert error is not None
    assert (error.kind, "CEREBELUM_STORE" in error.message) == ("secret", True)
    with pytest.raises(UsageError, match="CEREBELUM_STORE"):
        lab.run(f"env: {{URL: '{URL}'}}\nsteps: [{{id: a, run: 'true'}}]", environ=environ)
    with pytest.raises(UsageError, match="CEREBELUM_STORE"):
        lab.run("inputs: {url: {}}\nsteps: [{id: a, run: 'true'}]", {"url": URL}, environ=environ)
    assert_absent(lab)


def test_a_weak_one_disturbs_nothing_that_is_not_it(lab: Lab) -> None:
    environ = {"CEREBELUM_STORE": "postgresql://postgres:postgres@h/d", "PGPASSWORD": "postgres"}
    text = """
        inputs: {image: {default: 'postgres:16'}}
        steps:
          - {id: a, run: 'echo postgres; echo "$CEREBELUM_STORE"; env | grep PGP'}
          - {id: b, run: echo postgres, output: text}
        """
    assert lab.run(text, environ=environ).exit_code == 0
    assert lab.log(step="a").decode() == "postgres\npostgresql://***h/d\n***\n"


def test_steps_still_get_it_and_a_secret_of_that_name_is_one(lab: Lab) -> None:
    text = """
        secrets: [PGPASSWORD]
        steps: [{id: a, run: 'printf "%s" "$CEREBELUM_STORE" > got; echo "$PGPASSWORD"'}]
        """
    lab.run(text, environ={"CEREBELUM_STORE": URL, "PGPASSWORD": "abcd"})
    assert lab.lines("got") == [URL]
    assert lab.log() == b"***\n"
