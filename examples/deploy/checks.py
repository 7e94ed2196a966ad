"""What the deployment asks the service it has just started; steps of deploy.yaml call these functions."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

# A proxy of the environment knows nothing of this machine's loopback.
_opener = build_opener(ProxyHandler({}))


def health(port: int, version: str) -> dict[str, Any]:
    """The answer of `/health`. Raises RuntimeError unless the service is well and of this version."""
    status, answer = _get(port, "/health")
    if status != 200:
        raise RuntimeError(f"/health answers {status}: {answer.get('status')}")
    if answer["version"] != version:
        raise RuntimeError(f"version {answer['version']} answers on port {port}, not {version}")
    return answer


def smoke(port: int) -> dict[str, Any]:
    """Uses the service as its users do. Raises RuntimeError if it does not do its work."""
    status, answer = _get(port, "/hello/world")
    if status != 200 or not answer["text"].endswith(", world!"):
        raise RuntimeError(f"/hello/world answers {status}: {answer}")
    status, _ = _get(port, "/admin")
    if status != 404:
        raise RuntimeError(f"/admin answers {status}, but nothing should be there")
    return {"said": answer["text"]}


def _get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with _opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)
