"""The way to a service: how it is reached, and its errors as ours."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from cerebelum.core.error_facts import raised
from cerebelum.core.errors import CerebelumError, StoreError, UsageError

TOKEN = "CEREBELUM_CORE_TOKEN"
AUTHORITIES = "CEREBELUM_CORE_CA"
_SERVICE = "/cerebelum.execution.ExecutionService/"
_FACTS = "cerebelum-error-bin"
_PORT = 9090
_LONGEST = 90.0
"""Seconds for a call that looks at something; what starts a process takes up to a minute."""
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

M = TypeVar("M", bound=Message)


class Channel:
    """Calls methods of a service, from any thread. `url` is `grpc://HOST[:PORT]` or `grpcs://HOST[:PORT]`.

    The token to be let in with is CEREBELUM_CORE_TOKEN of `environ`; with TLS, CEREBELUM_CORE_CA names a file with the
    authorities to trust, the system's if it is not set. Raises UsageError for what is no address.
    """

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        match = re.fullmatch(r"(grpcs?)://(\[[0-9a-fA-F:.]+\]|[^/:\[\]]+)(?::(\d{1,5}))?/?", url)
        if match is None:
            raise UsageError(f"{url!r} names no service", hint="write it like grpc://host:9090, or grpcs:// with TLS")
        self.address = f"{match[2]}:{match[3] or _PORT}"
        self._secure = match[1] == "grpcs"
        self._environ = environ
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._pid = 0
        self._closed = False

    def _opened(self) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise StoreError("the store has been closed")
            if self._channel is None or self._pid != os.getpid():
                # A fork has none of its parent's threads.
                self._channel, self._pid = self._open(), os.getpid()
            return self._channel

    def _open(self) -> grpc.Channel:
        if not self._secure:
            return grpc.insecure_channel(self.address, _OPTIONS)
        authorities = None
        if path := self._environ.get(AUTHORITIES):
            try:
                with open(path, "rb") as file:
                    authorities = file.read()
            except OSError as error:
                raise UsageError(f"{AUTHORITIES} cannot be read: {error.strerror}", where=path) from None
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(authorities), _OPTIONS)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._environ.get(TOKEN)
        return (("authorization", f"Bearer {token}"),) if token else ()

    def call(self, method: str, request: Message, answer: type[M]) -> M:
        """What the method answers. Raises the error that it ended with there; StoreError if it cannot be reached."""
        call: Callable[..., M] = self._opened().unary_unary(
            _SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=_LONGEST, metadata=self._metadata())
        except grpc.RpcError as error:
            raise self._error(error) from None

    def stream(self, method: str, request: Message, answer: type[M], *, endless: bool = False) -> Stream[M]:
        """What the method answers, one after the other; `endless`: for as long as somebody reads."""
        call: Callable[..., Any] = self._opened().unary_stream(
            _SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return Stream(
            call(request, timeout=None if endless else _LONGEST, metadata=self._metadata()),
            self._error,
        )

    def _error(self, error: Any) -> CerebelumError:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            said = (error.details() or "").partition("\n")[0]
            return UsageError(f"the service at {self.address}: {said}", hint=f"{TOKEN} is the token to be let in with")
        for key, value in error.trailing_metadata() or ():
            if key == _FACTS:
                try:
                    return raised(json.loads(value))
                except (ValueError, KeyError, TypeError):
                    break
        code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.UNAVAILABLE:
            return StoreError(
                f"the service at {self.address} cannot be reached: {details}",
                hint="is it running? start it with: cerebelum serve",
            )
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return StoreError(
                f"the service at {self.address} is of another version, or none of cerebelum: {details}",
                hint="see its --version",
            )
        return StoreError(f"the service at {self.address} answers {code.name}: {details}")

    def close(self) -> None:
        """Let go of the service; streams end. Closing twice is allowed."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None and self._pid == os.getpid():
            channel.close()


class Stream(Iterator[M]):
    """The answers of a call. Raises the error that it ended with."""

    def __init__(self, call: Any, translated: Callable[[Any], CerebelumError]) -> None:
        self._call = call
        self._translated = translated

    def __next__(self) -> M:
        try:
            answer: M = next(self._call)
        except grpc.RpcError as error:
            raise self._translated(error) from None
        return answer

    def cancel(self) -> None:
        """Have it end, from any thread."""
        self._call.cancel()
