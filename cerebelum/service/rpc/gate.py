"""What every call passes before its method: a token, a share of what is done at once, and a message that comes in time.

A call is here as soon as its headers are, and its message may never come. So messages are read here, also those of
methods that are not ours (health, reflection), and who only occupies the service is sent away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from cerebelum.core.errors import CerebelumError
from cerebelum.service.access import Tokens, Unauthenticated
from cerebelum.service.rpc.callers import authorization, caller_of
from cerebelum.service.rpc.errors import Busy, InvalidArgument, Late, told
from cerebelum.service.shares import Shares

_OPEN = "/grpc.health.v1.Health/"
"""What needs no token."""
_MOST_CALLS = 2400
_MOST_OPEN_CALLS = 200
"""At once; of those that need no token separately, so that who has none keeps nobody out who has one."""
_SECONDS = 10.0
"""For a message to come."""
_PATIENT, _HURRIED_SECONDS = 32, 0.25
"""Calls whose message may take that long. A message follows its headers at once, and takes memory while it comes."""

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Parse = Callable[[bytes], Any]


class Gate(grpc.aio.ServerInterceptor):
    """Reads the message of a call, and refuses the call if it may not be made or takes too long to begin."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._calls, self._open_calls = Shares(_MOST_CALLS), Shares(_MOST_OPEN_CALLS)
        self._awaited = 0

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The method of the call behind this gate, or what refuses the call without waiting for its message."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        is_open = handler_call_details.method.startswith(_OPEN)
        if self._tokens is not None and not is_open:
            try:
                self._tokens.owner(authorization(handler_call_details.invocation_metadata))
            except Unauthenticated as error:
                return _streaming(handler, _refusing(error))
        return _streaming(handler, self._passing(handler, is_open))

    def _passing(self, handler: Any, is_open: bool) -> Any:
        shares, tokens = (self._open_calls, None) if is_open else (self._calls, self._tokens)
        parse = handler.request_deserializer or bytes

        @asynccontextmanager
        async def share(context: Context) -> AsyncIterator[None]:
            who = caller_of(context, tokens).who
            if not shares.take(who):
                await _abort(context, Busy("this service has as many calls as it takes on", hint="try again later"))
            try:
                yield
            finally:
                shares.give_back(who)

        if handler.request_streaming:

            async def converse(_: object, context: Context) -> AsyncIterator[Any]:
                async with share(context):
                    requests = self._messages(context, parse)
                    async for answer in handler.stream_stream(requests, context):
                        yield answer

            return converse

        method = handler.unary_stream if handler.response_streaming else handler.unary_unary

        async def perform(_: object, context: Context) -> Any:
            async with share(context):
                request = await self._message(context, parse, self._patience())
                if request is grpc.aio.EOF:
                    await _abort(context, InvalidArgument("the call has no message"))
                return await method(request, context)

        return perform

    def _patience(self) -> float:
        return _SECONDS if self._awaited < _PATIENT else _HURRIED_SECONDS

    async def _messages(self, context: Context, parse: Parse) -> AsyncIterator[Any]:
        """The messages of a call that has several, and may have none."""
        seconds = self._patience()
        while (request := await self._message(context, parse, seconds)) is not grpc.aio.EOF:
            yield request
            seconds = _SECONDS

    async def _message(self, context: Context, parse: Parse, seconds: float) -> Any:
        """The next message of a call; EOF if none comes."""
        self._awaited += 1
        try:
            async with asyncio.timeout(seconds):
                message = await context.read()
        except TimeoutError:
            await _abort(context, Late("the message of this call did not come in time"))
        finally:
            self._awaited -= 1
        if message is grpc.aio.EOF:
            return message
        try:
            return parse(message)
        except DecodeError:
            await _abort(context, InvalidArgument("what was sent is no message of this method"))


def _refusing(error: CerebelumError) -> Any:
    async def refuse(_: object, context: Context) -> None:
        await _abort(context, error)

    return refuse


async def _abort(context: Context, error: CerebelumError) -> NoReturn:
    code, details, metadata = told(error)
    await context.abort(code, details, metadata)


def _streaming(handler: Any, behaviour: Any) -> Any:
    """A handler that is called before there is a message; what is sent looks the same."""
    make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    return make(behaviour, response_serializer=handler.response_serializer)
