"""Long chains and wide graphs go through one process without trouble."""

from tests.engine.harness import Lab, said


def test_a_chain_of_2000_functions_runs_in_order(lab: Lab) -> None:
    lab.write(
        "seen = []\ndef note(n):\n    seen.append(n)\ndef check():\n    return seen == list(range(2000))\n", "tasks.py"
    )
    steps = "".join(f"  - {{id: s{n}, python: 'tasks.py:note', with: {{n: {n}}}}}\n" for n in range(2000))
    result = lab.run(
        f"steps:\n{steps}  - {{id: check, python: 'tasks.py:check'}}\noutput: '${{{{ steps.check.output }}}}'\n"
    )
    assert result.exit_code == 0
    assert result.state.output is True
    assert len(lab.events()) == 2 * 2001 + 2


def test_a_hundred_parallel_steps_run_within_the_bound(lab: Lab) -> None:
    lab.write(
        """
        import threading
        lock, now, most = threading.Lock(), 0, 0
        def work():
            global now, most
            with lock:
                now += 1
                most = max(most, now)
            threading.Event().wait(0.005)
            with lock:
                now -= 1
        def bound():
            return most
        """,
        "tasks.py",
    )
    steps = "".join(f"      - {{id: s{n}, python: 'tasks.py:work'}}\n" for n in range(100))
    result = lab.run(f"max_parallel: 5\nsteps:\n  - parallel:\n{steps}  - {{id: b, python: 'tasks.py:bound'}}\n")
    assert result.exit_code == 0
    assert 1 < result.state.steps["b"].output <= 5
    assert said(lab.events()).count("StepCompleted b") == 1


def test_what_a_function_sets_for_its_context_is_not_there_for_the_next_one(lab: Lab) -> None:
    lab.write(
        """
        import contextvars, decimal
        tenant = contextvars.ContextVar("tenant", default="nobody")
        def ours():
            tenant.set("ours")
            decimal.getcontext().prec = 5
        def theirs():
            return [tenant.get(), decimal.getcontext().prec]
        """,
        "tasks.py",
    )
    result = lab.run("steps: [{id: a, python: 'tasks.py:ours'}, {id: b, python: 'tasks.py:theirs'}]")
    assert result.state.steps["b"].output == ["nobody", 28]
