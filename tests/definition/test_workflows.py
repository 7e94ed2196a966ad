"""What a definition that is right becomes."""

from pathlib import Path

import pytest

from cerebelum.core.errors import DefinitionError, UsageError
from cerebelum.core.model import Retry, Step, Workflow
from cerebelum.definition import load
from tests.definition.executors import EXECUTORS, problems, workflow


def needs(text: str) -> dict[str, tuple[str, ...]]:
    return {step.id: step.needs for step in workflow(text).every_step()}


def only(keys: str, top: str = "") -> Step:
    return workflow(f"{top}\nsteps:\n  - id: a\n    {keys}").steps[0]


def test_each_step_follows_the_item_before_it_and_groups_run_side_by_side() -> None:
    assert needs("""
steps:
  - {id: a, run: x}
  - parallel:
      - {id: b, run: x}
      - {id: c, run: x}
  - parallel:
      - {id: d, run: x}
      - {id: e, run: x, needs: [b]}
  - {id: f, run: x}
  - {id: g, run: x, needs: []}
  - {id: h, run: x, needs: f}
finally:
  - {id: i, run: x}
  - {id: j, run: x}
""") == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "d": ("b", "c"),
        "e": ("b",),
        "f": ("d", "e"),
        "g": (),
        "h": ("f",),
        "i": (),
        "j": ("i",),
    }


def test_only_written_needs_are_explicit() -> None:
    steps = workflow("steps: [{id: a, run: x}, {id: b, run: x}, {id: c, run: x, needs: [b]}]").steps
    assert [step.explicit_needs for step in steps] == [False, False, True]


def test_a_step_may_need_a_later_one_and_use_what_comes_before_that() -> None:
    text = "steps:\n  - {id: c, run: x, needs: [b], env: {A: '${{ steps.a.output }}'}}\n"
    assert problems(text + "  - {id: a, run: x, needs: []}\n  - {id: b, run: x}\n") == []


def test_handlers_may_use_any_step_and_what_is_known_in_the_end() -> None:
    assert (
        problems("""
steps: [{id: a, run: x}, {id: b, run: x, needs: []}]
on_failure:
  - {id: h, run: x, undoes: [a], env: {A: '${{ steps.b.status }}', E: '${{ execution.error }}'}}
  - {id: i, run: x, when: execution.status == 'failed', env: {H: '${{ steps.h.output }}'}}
output: ${{ steps.a.output }}
""")
        == []
    )


def test_defaults_and_the_workflow_are_filled_in_where_a_step_says_nothing() -> None:
    step, own, http = workflow("""
secrets: [S]
env: {A: workflow, B: workflow}
defaults: {env: {B: default, C: default}, timeout: 1m, retry: 3, working_dir: sub, shell: sh, on_interrupt: fail}
steps:
  - {id: a, run: x}
  - {id: b, run: x, env: {C: own}, timeout: 2m, retry: 5, working_dir: ., shell: bash,
     secrets: [T], on_interrupt: rerun}
  - {id: c, http: {url: u}}
""").steps
    assert step.env == {"A": "workflow", "B": "default", "C": "default"}
    assert (step.timeout, step.retry, step.working_dir, step.options) == (
        60.0,
        Retry(attempts=3),
        "sub",
        {"shell": "sh"},
    )
    assert (step.on_interrupt, step.secrets) == ("fail", ("S",))
    assert own.env == {"A": "workflow", "B": "default", "C": "own"}
    assert (own.timeout, own.retry, own.working_dir, own.options) == (120.0, Retry(attempts=5), ".", {"shell": "bash"})
    assert (own.on_interrupt, own.secrets) == ("rerun", ("S", "T"))
    assert http.options == {}


def test_inherited_variables_come_first_and_each_after_what_it_refers_to() -> None:
    top = "env: {A: x, B: '${{ env.A }}-b'}"
    assert list(only("run: x\n    env: {C: '${{ env.B }}'}", top).env) == ["A", "B", "C"]
    overridden = only("run: x\n    env: {Z: z, A: '${{ env.Z }}'}", top).env
    assert list(overridden).index("Z") < list(overridden).index("A") < list(overridden).index("B")


def test_a_text_keeps_what_is_written_without_quotes() -> None:
    text = only("run: true\n    env: {V: 3.10, Y: yes, T: True, O: 0o14, N: , D: 2024-01-01, H: 123456789e99999}")
    assert text.body == "true"
    assert text.env == {
        "V": "3.10",
        "Y": "yes",
        "T": "True",
        "O": "0o14",
        "N": "",
        "D": "2024-01-01",
        "H": "123456789e99999",
    }
    http = only("http: {url: 8080, headers: {A: 1.0, B: true}, expect: {status: 0xC8}}").body
    assert http == {"url": "8080", "headers": {"A": "1.0", "B": "true"}, "expect": {"status": 200}}


def test_an_expression_passes_where_a_number_or_a_mapping_is_expected() -> None:
    top = "inputs: {n: {type: integer}, m: {}}"
    body = "{url: '${{ inputs.m }}', expect: {status: '${{ inputs.n }}'}, method: '${{ inputs.m }}'}"
    assert only(f"http: {body}", top).body["expect"] == {"status": "${{ inputs.n }}"}
    assert only("http: ${{ inputs.m }}", top).body == "${{ inputs.m }}"


@pytest.mark.parametrize(
    ("written", "when"),
    [
        ("true", True),
        ("false", False),
        ("inputs.n > 1", "${{ inputs.n > 1 }}"),
        ("${{ inputs.n > 1 }}", "${{ inputs.n > 1 }}"),
        ("'true'", "${{ true }}"),
        ("|\n      inputs.n > 1\n      && true", "${{ inputs.n > 1\n&& true }}"),
    ],
)
def test_a_condition_is_a_boolean_or_one_expression(written: str, when: str | bool) -> None:
    assert only(f"run: x\n    when: {written}", "inputs: {n: {type: integer}}").when == when


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("500ms", 0.5), ("90", 90), ("1.5", 1.5), ("'5'", 5)],
)
def test_durations(written: str, seconds: float) -> None:
    assert only(f"run: x\n    timeout: {written}").timeout == seconds


def test_retry_in_full() -> None:
    retry = "{attempts: 3, delay: 0, backoff: 2, max_delay: 1m, jitter: 0.5, on: [1, 75]}"
    expected = Retry(attempts=3, delay=0.0, backoff=2.0, max_delay=60.0, jitter=0.5, on=(1, 75))
    assert only(f"run: x\n    retry: {retry}").retry == expected
    assert only("run: x\n    retry: {attempts: 2, on: 75}").retry.on == (75,)


def test_anchors_aliases_and_merge_keys() -> None:
    a, b = workflow("""
x-base: &base {run: x, timeout: 5m}
x-more: &more {timeout: 6m, description: more}
steps:
  - {<<: *base, id: a}
  - {id: b, <<: [*base, *more], run: y}
""").steps
    assert (a.body, a.timeout) == ("x", 300)
    assert (b.body, b.timeout, b.description) == ("y", 300, "more")


def test_the_rules_of_yaml_1_2_hold_for_untyped_values() -> None:
    written = "[yes, off, 3.10, 0o14, 0x1F, 010, 1e3, ~, null, True, 12:30, 2024-01-01, '3', !!str 3, +1, -0.5, 1_000]"
    found = workflow(f"output: {written}\nsteps: [{{id: a, run: x}}]").output
    expected = [
        "yes",
        "off",
        3.1,
        12,
        31,
        10,
        1000.0,
        None,
        None,
        True,
        "12:30",
        "2024-01-01",
        "3",
        "3",
        1,
        -0.5,
        "1_000",
    ]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_keys_are_texts_whatever_they_look_like() -> None:
    found = workflow("output: {1: a, true: b, on: c, 3.10: d}\nsteps: [{id: a, run: x}]").output
    assert found == {"1": "a", "true": "b", "on": "c", "3.10": "d"}


def test_the_name_is_the_files_unless_given() -> None:
    steps = "steps: [{id: a, run: x}]"
    assert workflow(steps, name="sub/deploy.yaml").name == "deploy"
    assert workflow(steps, name="déploy (2).yaml").name == "d-ploy -2"
    assert workflow("name: My flow 2.0\n" + steps).name == "My flow 2.0"


def test_a_digest_changes_with_what_a_step_does_and_with_nothing_else() -> None:
    base = only("run: x").digest
    same = ["timeout: 5m", "retry: 3", "when: true", "description: d", "continue_on_error: true", "secrets: [S]"]
    other = ["env: {A: b}", "working_dir: sub", "shell: sh", "output: text"]
    assert {only(f"run: x\n    {keys}").digest for keys in same} == {base}
    assert len({only(f"run: x\n    {keys}").digest for keys in other} | {base, only("run: y").digest}) == 6
    assert only("run: x", "env: {A: b}").digest == only("run: x\n    env: {A: b}").digest


def test_code_outside_the_file_is_part_of_the_digest_and_has_to_be_there(tmp_path: Path) -> None:
    text = "steps: [{id: a, python: f.py, with: {n: 1}}]"
    with pytest.raises(DefinitionError) as e:
        workflow(text, tmp_path)
    assert str(e.value) == "w.yaml:1:17: steps[0].python: there is no f.py; write it"
    (tmp_path / "f.py").write_text("one")
    first = workflow(text, tmp_path).steps[0]
    (tmp_path / "f.py").write_text("two")
    second = workflow(text, tmp_path).steps[0]
    assert (first.fingerprint, second.fingerprint) == ("one", "two")
    assert first.digest != second.digest


def test_lines_of_steps_are_kept() -> None:
    assert [step.line for step in workflow("steps:\n  - id: a\n    run: x\n\n  - id: b\n    run: y").steps] == [2, 5]


# --- files -----------------------------------------------------------------------------------------------------------


def test_loading_a_file_tells_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deploy.yaml").write_bytes(b"\xef\xbb\xbfsteps: [{id: a, run: x}]\r\n")
    loaded = load(Path("deploy.yaml"), EXECUTORS)
    assert isinstance(loaded.workflow, Workflow)
    assert loaded.workflow.name == "deploy"
    assert (loaded.source.kind, loaded.source.path) == ("yaml", str(tmp_path / "deploy.yaml"))
    assert len(loaded.source.digest) == 64
    assert loaded.folder == tmp_path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "the file is empty"),
        (b"\x7fELF\0\0", "this is a binary file, not a workflow file"),
        ("steps: é".encode("latin-1"), "w.yaml:1:8: the byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbfsteps: \xe9", "w.yaml:1:8: the byte 0xe9 is not UTF-8"),
        ("steps:".encode("utf-16"), "the file is UTF-16, not UTF-8"),
        (b"#" * (16 * 1024 * 1024 + 1), "the file is larger than 16 MiB"),
    ],
    ids=["empty", "blank", "binary", "latin-1", "latin-1 after a mark", "utf-16", "huge"],
)
def test_a_file_that_is_no_text_is_refused_clearly(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.yaml").write_bytes(content)
    with pytest.raises(UsageError) as e:
        load(tmp_path / "w.yaml", EXECUTORS)
    assert message in str(e.value)
    assert e.value.exit_code == 2


def test_a_file_that_is_not_there_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").touch()
    (tmp_path / "other.yml").touch()
    with pytest.raises(UsageError, match="there is no such file") as e:
        load(tmp_path / "deplyo.yaml", EXECUTORS)
    assert e.value.hint == f"did you mean {tmp_path / 'deploy.yaml'}?"
    with pytest.raises(UsageError) as e:
        load(tmp_path / "zzz", EXECUTORS)
    assert e.value.hint == f"workflow files in {tmp_path}: `deploy.yaml`, `other.yml`"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "nowhere/w.yaml", "w.yaml/w.yaml"])
def test_impossible_paths(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.yaml").touch()
    with pytest.raises(UsageError):
        load(tmp_path / name, EXECUTORS)


def test_a_folder_and_a_python_file_that_nobody_reads_are_refused(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").touch()
    with pytest.raises(UsageError, match="this is a folder") as e:
        load(tmp_path, EXECUTORS)
    assert "deploy.yaml" in str(e.value.hint)
    with pytest.raises(UsageError, match="there is no such file"):
        load(tmp_path / "w.py", EXECUTORS)
    (tmp_path / "w.py").write_text("")
    with pytest.raises(UsageError, match="no plugin reads workflows in Python"):
        load(tmp_path / "w.py", {})
