"""Who gets how much of what there is only so much of: nobody as much as to leave nothing for the others."""

from __future__ import annotations

import ipaddress
import resource
from collections import Counter

_OWN_DESCRIPTORS = 200
"""What the process itself opens: the store, pipes of what it starts, modules."""
_LEAST = 16
_NETWORK_BITS = 64
"""Of a long address: whoever has one of them has all of its network."""


class Shares:
    """So many of something. Whoever asks may have at most half of what the others have left."""

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most
        self._of: Counter[str] = Counter()

    def take(self, who: str) -> bool:
        """One more for somebody; whether it was to be had."""
        left_by_others = self._most - self.taken + self._of[who]
        if self._of[who] >= max(left_by_others // 2, 1) or self.taken >= self._most:
            # Reading has made an entry.
            self._forget(who)
            return False
        self._of[who] += 1
        self.taken += 1
        return True

    def give_back(self, who: str) -> None:
        """One less."""
        self._of[who] -= 1
        self.taken -= 1
        self._forget(who)

    def _forget(self, who: str) -> None:
        if not self._of[who]:
            del self._of[who]


def neighbourhood(host: str) -> str:
    """Where somebody with this address is: the address, or the network of a long one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))
    return host


def connections(most: int, listeners: int) -> int:
    """How many connections each of so many listeners may have, `most` at the most: they need descriptors."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(_LEAST, min(most, (descriptors - _OWN_DESCRIPTORS) // max(listeners, 1)))
