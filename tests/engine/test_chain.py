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
