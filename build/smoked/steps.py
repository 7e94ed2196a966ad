"""What runs below the binary: users' Python, other programs with the user's environment, and plugins."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from smoked.desk import Desk, Skipped, expect

CALLS = """
name: calls
steps:
  - {id: here, python: 'tasks.py:here'}
  - {id: apart, python: 'tasks.py:here', isolated: true}
  - {id: many, python: 'tasks.py:many'}
"""
TASKS = """
import asyncio, concurrent.futures, inspect, multiprocessing, ssl, subprocess, sys
import sibling

def here():
    assert "here" in inspect.getsource(here) and sibling.VALUE == 1 and sys.flags.utf8_mode
    said = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout
    assert said == "42\\n", said

def many():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(sibling.square, range(3))) == [0, 1, 4], method
    async def child():
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "json.tool", "--help", stdout=-1)
        return (await process.communicate())[0], process.returncode
    said, code = asyncio.run(child())
    assert code == 0 and b"usage" in said, said

def shake_hands():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("own.pem", "own.key")
    client = ssl.create_default_context(cafile="own.pem")
    async def answer(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    async def ask():
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server) as listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
            writer.write(b"hello\\n")
            assert await reader.readline() == b"hello\\n"
            assert writer.get_extra_info("cipher")
            writer.close()
    asyncio.run(ask())

def trusts():
    context = ssl.create_default_context()
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    return {"authorities": len(context.get_ca_certs())}
"""
SIBLING = "VALUE = 1\ndef square(x):\n    return x * x\n"
HOOK = "import click, cerebelum\n@cerebelum.hookimpl\ndef cerebelum_commands(group):\n"
HOOK += "    @group.command()\n    def {verb}():\n        'Sing.'\n        click.echo('{verb} sings')\n"


def lay_out_calls(desk: Desk, shake_hands: bool = True) -> None:
    """Make `calls.yaml` and what it calls; with a handshake of TLS if there is an openssl to make a certificate."""
    steps = CALLS
    if shake_hands:
        made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "own.key", "-out", "own.pem"]
        try:
            subprocess.run(["openssl", *made.split(), *files], cwd=desk.folder, capture_output=True, check=True)
        except FileNotFoundError:
            raise Skipped("openssl is not installed") from None
        desk.own(desk.folder / "own.key")
        steps += "  - {id: shake, python: 'tasks.py:shake_hands'}\n"
    for name, text in (("calls.yaml", steps), ("tasks.py", TASKS), ("sibling.py", SIBLING)):
        desk.write(name, text)


def users_python_works(desk: Desk) -> None:
    lay_out_calls(desk)
    desk("run", "calls.yaml")


def the_system_s_authorities_are_trusted(desk: Desk) -> None:
    desk.write("tasks.py", TASKS)
    desk.write("sibling.py", SIBLING)
    desk.write("trust.yaml", "name: trust\nsteps: [{id: t, python: 'tasks.py:trusts'}]\n")
    bundles = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
    if not any(Path(bundle).exists() for bundle in bundles):
        raise Skipped("this machine has no certificates")
    desk("run", "trust.yaml", "--id", "t")
    (step,) = json.loads(desk("status", "t", "--json"))["steps"]
    expect(step["output"]["authorities"] > 0, "no authority is trusted")


def children_have_the_users_environment(desk: Desk) -> None:
    desk.write(
        "env.py",
        "import os\ndef seen():\n    open('seen', 'w').write(chr(0).join(map('='.join, os.environ.items())))\n",
    )
    steps = (
        "{id: a, run: 'env -0 > seen'}",
        "{id: b, python: 'env.py:seen'}",
        "{id: c, python: 'env.py:seen', isolated: true}",
    )
    given = {"VIRTUAL_ENV": "/some/venv", "LD_LIBRARY_PATH": "/some/lib", "PYTHONPATH": "/some/path", "MINE": "a=b"}
    for step in steps:
        desk.write("env.yaml", f"name: env\nsteps: [{step}]\n")
        for more in (given, {}):
            desk("run", "env.yaml", env=more)
            lines = [line for line in (desk.folder / "seen").read_text().split("\0") if line]
            seen = dict(line.split("=", 1) for line in lines)
            wanted = {**desk.env, **more}
            wrong = {n: seen.get(n) for n in {**given, **wanted} if seen.get(n) != wanted.get(n)}
            expect(not wrong, f"{step}: not what it was: {wrong}")
            extra = {n for n in seen if n not in wanted and not n.startswith("CEREBELUM_")} - {
                "PWD",
                "SHLVL",
                "_",
                "OLDPWD",
            }
            expect(not extra, f"{step}: steps see {extra}")


def the_users_programs_work(desk: Desk) -> None:
    """They say in a step what they say in a shell, and load the same libraries."""
    tools = {
        "git": "git init -q repo && git -C repo status --short --branch",
        "python3": "python3 -c 'import ctypes, sqlite3, ssl, sys; print(sys.path, ssl.OPENSSL_VERSION)'",
        "ssh": "ssh -V && ssh -G localhost | head -n 3",
        "curl": "curl --version && curl -sS file:///etc/hostname",
    }
    for name, script in tools.items():
        if subprocess.run(
            ["sh", "-c", f"command -v {name}"], env=desk.env, capture_output=True, check=False
        ).returncode:
            print(f"          {name} is not installed")
            continue
        script = f"{{ {script}; }} 2>&1"
        desk.write("tool.yaml", f"name: tool\nsteps:\n  - id: t\n    run: |\n      {script}\n")
        wanted = desk("-c", script, program="/bin/sh")
        desk("run", "tool.yaml", "--id", name)
        said = desk("logs", name, "t", "--raw")
        expect(said == wanted, f"{name} says {said!r} in a step, and {wanted!r} in a shell")


def plugins_come_from_folders(desk: Desk) -> None:
    wheel = _wheel(desk, "bird", HOOK.format(verb="bird"))
    target, unpacked, broken = (desk.folder / name for name in ("with 🦜", "unpacked", "broken"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    zipfile.ZipFile(wheel).extractall(unpacked)
    for place in (target, unpacked, wheel.parent):
        env = {"CEREBELUM_PLUGIN_PATH": str(place)}
        said = desk("plugins", env=env)
        expect(f"bird 1.0 in {place}" in said, said)
        expect(desk("bird", env=env) == "bird sings\n", "the verb of the plugin does not work")
    zipfile.ZipFile(_wheel(desk, "broken", "import missing_module\n")).extractall(broken)
    env = {"CEREBELUM_PLUGIN_PATH": f"{broken}:{target}"}
    said = desk("plugins", env=env)
    expect("plugin broken" in said and "missing_module" in said, f"the broken plugin is not named: {said}")
    expect("bird sings" in desk("bird", env=env), "a broken plugin stopped another one")
    desk.write("one.yaml", "name: one\nsteps: [{id: a, run: 'true'}]\n")
    expect("plugin broken" in desk("run", "one.yaml", env=env), "a run does not name the broken plugin")


def plugins_come_from_files(desk: Desk) -> None:
    path = desk.write("frog.py", HOOK.format(verb="frog"))
    expect(desk("frog", "--plugin", str(path)) == "frog sings\n", "--plugin")
    expect(desk("frog", env={"CEREBELUM_PLUGINS": str(path)}) == "frog sings\n", "CEREBELUM_PLUGINS")
    folder = desk.home / ".config" / "cerebelum" / "plugins"
    folder.mkdir(parents=True)
    (folder / "toad.py").write_text(HOOK.format(verb="toad"))
    (folder / "lame.py").write_text("1 / 0\n")
    said = desk("plugins")
    expect(str(folder / "toad.py") in said and "lame" in said and "ZeroDivisionError" in said, said)
    expect("toad sings" in desk("toad"), "the plugin folder")


def _wheel(desk: Desk, name: str, source: str) -> Path:
    folder = desk.folder / "wheels" / name
    folder.mkdir(parents=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: smoke\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[cerebelum]\n{name} = {name}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


CHECKS = [
    users_python_works,
    the_system_s_authorities_are_trusted,
    children_have_the_users_environment,
    the_users_programs_work,
    plugins_come_from_folders,
    plugins_come_from_files,
]
