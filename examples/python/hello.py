"""Two steps, the second of which gets what the first returned.

python examples/python/hello.py
cerebelum run examples/python/hello.py --input name=Ada
"""

from typing import Any

from cerebelum import Builder, step, workflow


@step
def greet(inputs: dict[str, Any]) -> str:
    return f"Hello, {inputs.get('name', 'world')}!"


@step
def shout(greet: str) -> str:
    return greet.upper()


@workflow
def hello(wf: Builder) -> None:
    wf.timeline(greet >> shout)


if __name__ == "__main__":
    print(hello.run().output)
