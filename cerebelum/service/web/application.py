"""The server as an ASGI application: lets requests in, reads them, has them answered, and tells what went wrong."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from cerebelum.core.errors import StoreError
from cerebelum.sdk.verbs import Verbs
from cerebelum.service.operations import Operations
from cerebelum.service.recent import Shared
from cerebelum.service.settings import Address, Settings
from cerebelum.service.shares import Shares, neighbourhood
from cerebelum.service.tails import Tails
from cerebelum.service.web import openapi, routes
from cerebelum.service.web.asked import body_of, query_of
from cerebelum.service.web.errors import Answer, Refused, answer_to
from cerebelum.service.web.guard import Guard
from cerebelum.service.web.limits import Limits
from cerebelum.service.web.looking import Call, Encoded
from cerebelum.service.web.metrics import CONTENT_TYPE, Metrics
from cerebelum.service.web.observing import Observer
from cerebelum.service.web.routes import ROUTES, Look, Route
from cerebelum.service.web.static import Static, page_files
from cerebelum.service.web.streams import EventStream, of_all, of_execution
from cerebelum.store import Query

if TYPE_CHECKING:
    from cerebelum.service.web.contract import Health

T = TypeVar("T")

_JSON = "application/json"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = [
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_TEMPLATE = "cerebelum.template"
"""In a request's scope: the form of its address, as it is in ROUTES."""
_NOWHERE = "none"


class Application:
    """Answers requests to one address. Belongs to one event loop."""

    def __init__(
        self, operations: Operations, settings: Settings, address: Address, tails: Tails, limits: Limits
    ) -> None:
        self.guard = Guard(settings, address)
        self.limits = limits
        self.operations = operations
        self.tails = tails
        self.slots = Shares(limits.streams)
        self._requests = Shares(limits.requests)
        self.metrics = Metrics()
        self.observer = Observer(tails, self.metrics)
        self.openapi = openapi.text().encode()
        # Who asks again and again whether the store is back takes no thread more.
        self.health = Shared(lambda _: tails.read(_health))
        self._say = settings.say
        self._static = Static(page_files())
        self._router = Router(routes=[*self._endpoints()], default=self._elsewhere, redirect_slashes=False)
        tails.read.took = self.metrics.looked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        answering = _Answering(send)
        scope["app"] = self
        try:
            headers = _headers(scope)
            if scope["path"] != routes.HEALTH:
                self.guard.check_origin(scope, headers)
            await self._router(scope, receive, answering)
        except HTTPException as error:
            await self._refuse(answering, Refused(error.status_code, error.detail))
        except Exception as error:
            await self._refuse(answering, error)
        finally:
            template = scope.get(_TEMPLATE, _NOWHERE)
            self.metrics.requests.add(template, _method(scope), str(answering.code or 499))

    async def close(self) -> None:
        """Look at nothing any more."""
        await self.observer.close()

    def _endpoints(self) -> Iterable[StarletteRoute]:
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        return (StarletteRoute(path, _Endpoint(self, path, methods)) for path, methods in by_path.items())

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_TEMPLATE] = "page"
        await self._static(scope, receive, send)

    async def _refuse(self, answering: _Answering, error: Exception) -> None:
        answer = answer_to(error)
        if answer.code == 500:
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._say(line)
        if answering.code is None:
            await send_answer(answering, answer)

    def enter(self, who: str) -> None:
        """A request more. Raises Refused (503) if there are too many under way."""
        if not self._requests.take(who):
            raise Refused(503, "too many requests are under way", hint="try again")

    def leave(self, who: str) -> None:
        """A request less."""
        self._requests.give_back(who)


class _Answering:
    """Sends, with the headers that every answer has, and knows what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.code: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            message = {**message, "headers": [*message["headers"], *_ALWAYS]}
        await self._send(message)


class _Endpoint:
    """All methods of one address."""

    def __init__(self, application: Application, path: str, methods: Mapping[str, Route]) -> None:
        self._application = application
        self._path = path
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_TEMPLATE] = self._path
        headers = _headers(scope)
        route = self._route(scope["method"])
        guard = self._application.guard
        owner = None if route.is_open else guard.owner(headers)
        host = (scope.get("client") or ("?", 0))[0]
        who = owner or neighbourhood(host)
        call = Call(
            operations=self._application.operations,
            execution_id=scope["path_params"].get("id", ""),
            query=query_of(route.query, scope["query_string"]),
            by=owner or f"page@{host}",
            owner=owner,
            needs_token=guard.needs_token,
        )
        if route.answer == "text/event-stream":
            stream = await self._stream(route, call, headers, who)
            await stream(scope, receive, send)
            return
        self._application.enter(who)
        try:
            if route.body is not None:
                body = await self._body(route.body, headers, receive)
                call = msgspec.structs.replace(call, body=body)
            await send_answer(send, await self._answer(route, call))
        finally:
            self._application.leave(who)

    def _route(self, method: str) -> Route:
        route = self._methods.get("GET" if method == "HEAD" else method)
        streams = any(route.answer == "text/event-stream" for route in self._methods.values())
        if route is None or (method == "HEAD" and streams):
            allowed = [*self._methods, *(["HEAD"] if "GET" in self._methods and not streams else [])]
            headers = {"Allow": ", ".join(sorted(allowed))}
            raise Refused(405, f"{method[:20]} means nothing here", hint=f"use {headers['Allow']}", headers=headers)
        return route

    async def _body(self, kind: type[msgspec.Struct], headers: Mapping[str, str], receive: Receive) -> msgspec.Struct:
        """What the body says. Raises Refused (408, 413, 415), UsageError."""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            raise Refused(415, "the body has to be JSON", hint=f"send the header Content-Type: {_JSON}")
        most = self._application.limits.body
        too_much = Refused(413, f"the body is larger than {most} bytes")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            raise too_much
        body = bytearray()
        more = True
        try:
            async with asyncio.timeout(self._application.limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request ended in the middle")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise too_much
        except TimeoutError:
            raise Refused(408, "the body did not come in time", headers={"Connection": "close"}) from None
        return body_of(kind, bytes(body))

    async def _answer(self, route: Route, call: Call) -> Answer:
        application = self._application
        if route.path == routes.HEALTH:
            return Answer(200, await self._in_time(application.health.read(0), application.limits.health_seconds))
        if route.look is not None:
            look = route.look
            body = await self._in_time(application.tails.read(lambda verbs: _encoded(look, verbs, call)))
            return Answer(route.code, body)
        if route.act is not None:
            return Answer(route.code, msgspec.json.encode(await route.act(application.tails, call)))
        if route.path == routes.METRICS:
            text = await self._in_time(application.observer.text(application.slots.taken))
            return Answer(200, text.encode(), {"Content-Type": CONTENT_TYPE})
        return Answer(200, application.openapi)

    async def _in_time(self, looking: Awaitable[T], most: float | None = None) -> T:
        """Raises StoreError if the store does not answer in time."""
        seconds = most or self._application.limits.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                return await looking
        except TimeoutError:
            raise StoreError(f"the store has not answered within {seconds:g} s", hint="try again") from None

    async def _stream(self, route: Route, call: Call, headers: Mapping[str, str], who: str) -> EventStream[Any]:
        tails, slots, limits = self._application.tails, self._application.slots, self._application.limits
        if route.path == routes.STREAM_OF_ALL:
            return of_all(tails, slots, limits, who)
        name = await self._in_time(tails.read(lambda verbs: verbs.resolve(call.execution_id)))
        return of_execution(tails, name, call.query, headers.get("last-event-id"), slots, limits, who)


def _health(verbs: Verbs) -> bytes:
    """Raises StoreError if the store cannot be reached."""
    verbs.store.find(Query(limit=1))
    answer: Health = {"ok": True}
    return msgspec.json.encode(answer)


def _encoded(look: Look, verbs: Verbs, call: Call) -> bytes:
    answer = look(verbs, call)
    return answer.body if isinstance(answer, Encoded) else msgspec.json.encode(answer)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer whole."""
    named = {"Content-Type": _JSON, "Cache-Control": "no-store", **answer.headers}
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _headers(scope: Scope) -> Mapping[str, str]:
    """By name; of several with one name, all in one, so that nobody takes the first for the only one."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
