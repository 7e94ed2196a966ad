"""How methods are called: whoever calls is known, and whatever goes wrong becomes a code."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from cerebelum.core.errors import CerebelumError
from cerebelum.service.access import Tokens
from cerebelum.service.rpc.callers import Caller, caller_of
from cerebelum.service.rpc.errors import Busy, told
from cerebelum.service.shares import Shares


class Desk:
    """What all methods of a service share."""

    def __init__(self, tokens: Tokens | None, say: Callable[[str], None], most_streams: int) -> None:
        self._tokens = tokens
        self._say = say
        self._streams = Shares(most_streams)

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
                return await call(request, caller_of(context, self._tokens))
            except Exception as error:
                await self._abort(context, error)

        return handle

    def _stream(self, call: Callable[[Any, Caller], AsyncGenerator[Any]]) -> Any:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                caller = caller_of(context, self._tokens)
                if not self._streams.take(caller.who):
                    raise Busy("this service has as many streams open as it takes on", hint="try again later")
                try:
                    async with aclosing(call(request, caller)) as answers:
                        async for answer in answers:
                            # Waits until there is room: a slow reader holds up its own stream alone.
                            await context.write(answer)
                finally:
                    self._streams.give_back(caller.who)
            except grpc.aio.InternalError:
                # Whoever read has gone in the middle of a message: nobody is left to be told anything.
                return
            except Exception as error:
                await self._abort(context, error)

        return handle

    async def _abort(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, CerebelumError):
            code, details, metadata = told(error)
            await context.abort(code, details, metadata)
        self._say("this is a bug of cerebelum:\n" + "".join(traceback.format_exception(error)).rstrip())
        await context.abort(grpc.StatusCode.INTERNAL, "this is a bug of cerebelum; the service's log has more")
