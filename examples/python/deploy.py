"""A deployment as a program of its own: typed inputs, scripts, a branch, failures that lead elsewhere, handlers.

python examples/python/deploy.py run -i version=1.4.0
python examples/python/deploy.py run -i version=1.4.0 -i to=production -i folder=/tmp/machines
python examples/python/deploy.py list
cerebelum run examples/python/deploy.py -i version=1.4.0

The machines are folders below `folder`. The registry does not know the version 0.0.0, and 9.9.9 does not start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cerebelum import Builder, Context, step, workflow


@dataclass
class Inputs:
    version: str
    to: Literal["staging", "production"] = "staging"
    folder: Path = Path("machines")


@step
def pull(inputs: Inputs) -> str:
    """Get the image from the registry."""
    if inputs.version == "0.0.0":
        raise LookupError(f"the registry has no {inputs.version}")
    return f"app:{inputs.version}"


@step
def suggest() -> str:
    """Say what the registry has, instead of deploying anything."""
    return "the registry has 1.4.0 and 9.9.9"


@step
def survey(inputs: Inputs) -> dict[str, int]:
    """See how many machines there are."""
    return {"machines": 3 if inputs.to == "production" else 1}


@step
def canary(inputs: Inputs, context: Context) -> None:
    """Try one machine first, where there are several."""
    context.log(f"{inputs.version} runs on {inputs.to}-1 alone")


@step
def switch(survey: dict[str, int], inputs: Inputs, context: Context) -> list[str]:
    """Have every machine run the version."""
    names = [f"{inputs.to}-{number}" for number in range(1, survey["machines"] + 1)]
    for done, name in enumerate(names, 1):
        machine = inputs.folder / name
        machine.mkdir(parents=True, exist_ok=True)
        (machine / "version").write_text(inputs.version)
        context.progress(done / len(names), name)
    return names


@step
def smoke(switch: list[str], inputs: Inputs) -> str:
    """Ask every machine whether it is well."""
    if inputs.version == "9.9.9":
        raise RuntimeError(f"{switch[0]} does not answer")
    return f"{inputs.version} is live on {', '.join(switch)}"


@step
def roll_back(inputs: Inputs, context: Context) -> None:
    """Take the version away from where it was put."""
    for name in context.outputs.get("switch", []):
        (inputs.folder / name / "version").unlink(missing_ok=True)
        print(f"{name} is back where it was")


@workflow(inputs=Inputs, timeout="1h")
def deploy(wf: Builder) -> None:
    """Put a version on the machines."""
    lock = wf.shell('mkdir -p "$INPUT_FOLDER" && echo "$CEREBELUM_EXECUTION_ID" > "$INPUT_FOLDER/lock"', name="lock")
    unlock = wf.shell('rm -f "$INPUT_FOLDER/lock"', name="unlock")
    wf.timeline(lock >> pull >> survey >> switch >> smoke)
    wf.branch(after=survey, when={"result.machines > 1": canary})
    wf.diverge(pull, {LookupError: suggest, "timeout": "retry"})
    wf.on_failure(roll_back)
    wf.finally_(unlock)


if __name__ == "__main__":
    deploy.cli()
