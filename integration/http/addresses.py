"""Which addresses may be called: those of the public internet, or any."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Addresses that lead to the own network or the own machine, and that the tables of Python's older releases
# call public: https://www.iana.org/assignments/iana-ipv6-special-registry (2026-11-24). The last is Azure's
# host agent: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10", "192.0.0.0/24", "168.63.129.16/32",
    )
)  # fmt: skip


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it wraps one of version 4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and (inner := _wrapped(found)):
        return is_public(str(inner))
    is_listed = any(found.version == network.version and found in network for network in _NOT_PUBLIC)
    return found.is_global and not found.is_multicast and not is_listed


def _wrapped(found: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
