"""Addresses: which IP addresses are the internet's, by a list of our own.

What Python's `ipaddress` calls global depends on its version, and clouds have put their metadata services at addresses
that no registry calls special. An address is public when it is in none of these networks; of IPv6 it must besides be in
2000::/3, which is all that has been given out as unicast (RFC 4291, RFC 3513).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# https://www.iana.org/assignments/iana-ipv4-special-registry, read on 2026-11-27, whatever it says of reachability.
_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared; Alibaba's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's wire server, within its public space
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
_UNICAST = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry: what lies in 2000::/3. Outside of it, and so refused
# without a line here, are :: and ::1, ::ffff:0:0/96 (mapped), ::/96 (compatible), 64:ff9b::/96 and 64:ff9b:1::/48
# (NAT64), 100::/64 (discard), 100:0:0:1::/64 (dummy), 5f00::/16 (SRv6), fc00::/7 (private; AWS at fd00:ec2::254),
# fe80::/10 (link-local), fec0::/10 (site-local), ff00::/8 (multicast).
_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID and others
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "3ffe::/16",  # 6bone, given back
    )
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # bits 64 to 95 of an IPv4 address in disguise (RFC 5214)


def is_public(host: str) -> bool:
    """Whether the text of an IP address names a machine of the internet. A zone names one of our own links."""
    if "%" in host:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _V4)
    return _is_public_v6(address)


def _is_public_v6(address: IPv6Address) -> bool:
    if address not in _UNICAST or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in network for network in _V6)
