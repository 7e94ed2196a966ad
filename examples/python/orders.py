"""An order: paid, packed by somebody, and two days later the customer is asked; a failure gives the money back.

python examples/python/orders.py run --id order-1 -i customer=ada -i cents=4200 --park
python examples/python/orders.py approve order-1 --response carrier=pigeon
python examples/python/orders.py resume order-1 --park
python examples/python/orders.py status order-1
cerebelum run examples/python/orders.py -i customer=ada -i cents=4200

Between the commands nothing runs; `cerebelum supervise` would go on by itself when the time has come. The till is the
file `till.txt`, in which every payment and repayment is a line; nobody pays twice, whatever is killed when.
"""

from dataclasses import dataclass
from pathlib import Path

from cerebelum import Builder, Context, approval, sleep, step, workflow


@dataclass
class Order:
    customer: str
    cents: int
    till: Path = Path("till.txt")
    ask_after: str = "2d"


def book(till: Path, key: str, text: str) -> None:
    """A line in the till, unless one with this key is there: what a payment service does with an idempotency key."""
    booked = till.read_text().splitlines() if till.exists() else []
    if not any(line.startswith(f"{key} ") for line in booked):
        with till.open("a") as file:
            file.write(f"{key} {text}\n")


@step(retry={"attempts": 3, "delay": "1s"})
def charge(inputs: Order, context: Context) -> str:
    """Take the money."""
    book(inputs.till, context.idempotency_key, f"{inputs.customer} pays {inputs.cents}")
    return context.idempotency_key


@step
async def ship(charge: str, inputs: Order) -> str:
    """Wait for somebody who has packed it, and says which way it goes."""
    answer = await approval(f"Has the order of {inputs.customer} been packed?", data={"payment": charge}, timeout="5d")
    carrier = answer.response.get("carrier", "the post")
    if carrier == "nobody":
        raise RuntimeError("nobody carries it")
    return f"{carrier} brings it"


@step
async def ask(ship: str, inputs: Order) -> str:
    """Two days later, ask how it was."""
    await sleep(inputs.ask_after)
    print(f"to {inputs.customer}: {ship} - are you content?")
    return f"{inputs.customer} was asked"


def give_back(inputs: Order, context: Context) -> None:
    """Give back what was taken."""
    payment = context.outputs.get("charge")
    if payment is not None:
        book(inputs.till, f"{payment}-back", f"{inputs.customer} gets {inputs.cents} back")


@workflow(inputs=Order)
def orders(wf: Builder) -> None:
    """Sell something, and see that it arrives."""
    wf.timeline(charge >> ship >> ask)
    # A step has one place, so the same function makes two.
    wf.on_failure(step(name="repay")(give_back))
    wf.on_cancel(step(name="repay_cancelled")(give_back))


if __name__ == "__main__":
    orders.cli()
