"""How methods are called: whoever calls is known, and whatever goes wrong becomes a code."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
import msgspec
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from cerebelum.core.errors import CerebelumError
from cerebelum.service.access import Tokens, Unauthenticated
from cerebelum.service.rpc.errors import Busy, told

OPEN = "/grpc.health.v1.Health/"
"""What needs no token."""


class Caller(msgspec.Struct, frozen=True):
    """Who calls a method."""

    owner: str | None
    """Whom the token was given to, if it names somebody."""
    peer: str
    """Where the call comes from, such as `ipv4:127.0.0.1:51234`."""

    def by(self, said: str | None) -> str:
        """In whose name something is done: the token's, what the caller says, or where the call comes from."""
        return self.owner or said or self.peer.rpartition(":")[0]


class Desk:
    """What all methods of a service share."""

    def __init__(self, tokens: Tokens | None, say: Callable[[str], None], most_streams: int) -> None:
        self._tokens = tokens
        self._say = say
        self._left = most_streams

    def handlers(self, service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
        """Those of a service, whose methods `servicer` has by the same name."""
        found = {method.name: self._handler(method, getattr(servicer, method.name)) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, found)

    def _handler(self, method: MethodDescriptor, call: Any) -> grpc.RpcMethodHandler[Any, Any]:
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        streams = method.server_streaming
        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(
            self._stream(call) if streams else self._unary(call),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    def _unary(self, call: Callable[[Any, Caller], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await call(request, self._caller(context))
            except Exception as error:
                await self._abort(context, error)

        return handle

    def _stream(self, call: Callable[[Any, Caller], AsyncGenerator[Any]]) -> Any:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                caller = self._caller(context)
                if self._left <= 0:
                    raise Busy("this service has as many streams open as it takes on", hint="try again later")
                self._left -= 1
                try:
                    async with aclosing(call(request, caller)) as answers:
                        async for answer in answers:
                            # Waits until there is room: a slow reader holds up its own stream alone.
                            await context.write(answer)
                finally:
                    self._left += 1
            except grpc.aio.InternalError:
                # Whoever read has gone in the middle of a message: nobody is left to be told anything.
                return
            except Exception as error:
                await self._abort(context, error)

        return handle

    def _caller(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """Who calls. Raises Unauthenticated."""
        sent: Mapping[str, Any] = dict(context.invocation_metadata() or ())
        owner = None if self._tokens is None else self._tokens.owner(_text(sent.get("authorization")))
        return Caller(owner, context.peer())

    async def _abort(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, CerebelumError):
            code, details, metadata = told(error)
            await context.abort(code, details, metadata)
        self._say("this is a bug of cerebelum:\n" + "".join(traceback.format_exception(error)).rstrip())
        await context.abort(grpc.StatusCode.INTERNAL, "this is a bug of cerebelum; the service's log has more")


class Gate(grpc.aio.ServerInterceptor):
    """Lets nobody in without a token, also not to services that are not ours, such as reflection."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The handler of the call, or one that refuses it."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN):
            return handler
        try:
            self._tokens.owner(_text(dict(handler_call_details.invocation_metadata or ()).get("authorization")))
        except Unauthenticated as error:
            code, details, metadata = told(error)

            async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
                await context.abort(code, details, metadata)

            kind = ("stream" if handler.request_streaming else "unary") + (
                "_stream" if handler.response_streaming else "_unary"
            )
            return handler._replace(**{kind: refuse})
        return handler


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value
