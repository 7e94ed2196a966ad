"""`cerebelum serve`: open the store to programs, colleagues and browsers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cerebelum.cli import terminal
from cerebelum.cli.tools import Tools
from cerebelum.cli.words import unicode_text
from cerebelum.core.errors import UsageError
from cerebelum.sdk.core_url import is_service

if TYPE_CHECKING:
    from cerebelum.render import contract
    from cerebelum.service.settings import Address


_GRPC = "127.0.0.1:9090"


def serve(
    tools: Tools,
    files: tuple[str, ...],
    grpc: str | None,
    http: str,
    no_grpc: bool,
    no_http: bool,
    token_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    host_names: tuple[str, ...],
    read_only: bool,
    as_json: bool,
) -> int:
    """The verb; returns the exit code."""
    import asyncio

    from cerebelum.definition import load
    from cerebelum.sdk.client import ExecutionClient
    from cerebelum.service import server
    from cerebelum.service.access import Tokens
    from cerebelum.service.operations import Operations
    from cerebelum.service.settings import Settings
    from cerebelum.service.workflows import Workflows

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    settings = Settings(
        grpc=None if no_grpc else _grpc(grpc),
        http=None if no_http else _http(http),
        tokens=None if token_file is None else Tokens.read(token_file),
        tls=None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
        host_names=host_names,
        say=terminal.warn,
    )
    settings.check()
    url = tools.store_url()
    if is_service(url):
        raise UsageError("this is a service itself", hint="name its store with --store")
    if url.startswith("memory:"):
        raise UsageError("a store in memory is seen by this process alone", hint="name a store file with --store")
    executors = tools.executors()
    places = [unicode_text(file, "the file") for file in files]
    workflows = Workflows.of(places, lambda path: load(Path(path), executors).workflow.name)
    client = ExecutionClient.over(tools.client(), on_note=terminal.warn)
    tools.client().remember()
    operations = Operations(client, store=url, workflows=workflows, read_only=read_only)
    terminal.own_process()
    try:
        asyncio.run(server.serve(operations, settings, lambda addresses: _ready(addresses, settings.tls, as_json)))
    finally:
        client.close.blocking()
    return 0


def _grpc(asked: str | None) -> Address | None:
    """Where gRPC is to be served; nowhere, with a word on it, if it is not here and nobody has asked for it."""
    from cerebelum.service.settings import Address

    try:
        import grpc  # noqa: F401
    except ModuleNotFoundError:
        missing = "gRPC is not in this installation"
        hint = "it is in the file cerebelum-service, and comes with: pip install 'cerebelum[service]'"
        if asked is not None:
            raise UsageError(missing, hint=hint) from None
        terminal.warn(f"{missing}, so there is only HTTP; {hint}")
        return None
    return Address.parse(_GRPC if asked is None else asked, "--grpc")


def _http(asked: str) -> Address:
    from cerebelum.service.settings import Address

    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "what serves HTTP is not in this installation",
            hint="it comes with: pip install 'cerebelum[web]'; or leave it out with --no-http",
        ) from None
    return Address.parse(asked, "--http")


def _ready(addresses: dict[str, Address], tls: object, as_json: bool) -> None:
    if as_json:
        told: contract.Serving = {
            "grpc": addresses["grpc"].text() if "grpc" in addresses else None,
            "http": addresses["http"].text() if "http" in addresses else None,
        }
        terminal.show_json(told)
    else:
        if "http" in addresses:
            terminal.show(f"the page is at {'https' if tls else 'http'}://{addresses['http'].text()}/")
        if "grpc" in addresses:
            terminal.show(f"gRPC is at {addresses['grpc'].text()}")
    terminal.stdout().flush()


HELP = """Open the store to others: status, listing, resume and live events, as gRPC, as JSON over HTTP, and as a page.

\b
  cerebelum serve
  cerebelum serve deploy.yaml flows/
  cerebelum serve --http 0.0.0.0:8080 --token-file tokens --tls-cert cert.pem --tls-key key.pem
  cerebelum serve --read-only --no-grpc

The workflows in FILE (or in a folder of them) may be started through it. What is started or gone on with runs in a
process of its own, whatever becomes of the service. Without --token-file only this machine may be listened on.

It ends with Ctrl-C or SIGTERM, after the requests that are under way.
"""

command = click.Command(
    "serve",
    callback=click.pass_obj(serve),
    help=HELP,
    params=[
        click.Argument(["files"], metavar="[FILE]...", nargs=-1),
        click.Option(["--grpc"], metavar="HOST:PORT", help=f"For gRPC. [default: {_GRPC}]"),
        click.Option(
            ["--http"], metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True, help="For JSON and the page."
        ),
        click.Option(["--no-grpc"], is_flag=True, help="No gRPC."),
        click.Option(["--no-http"], is_flag=True, help="No HTTP."),
        click.Option(
            ["--token-file"], metavar="FILE", help="Tokens to be let in with, a line each: TOKEN, or NAME TOKEN."
        ),
        click.Option(["--tls-cert"], metavar="FILE", help="Serve over TLS, with this certificate (PEM)."),
        click.Option(["--tls-key"], metavar="FILE", help="The certificate's key."),
        click.Option(
            ["--host-name", "host_names"],
            multiple=True,
            metavar="NAME",
            help="A name that browsers may know it by, such as that of a proxy before it.",
        ),
        click.Option(["--read-only"], is_flag=True, help="Show executions, and change none."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the addresses as JSON once it listens."),
    ],
)
