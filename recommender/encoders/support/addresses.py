"""Tell public addresses of the internet from private ones: those of a cloud's metadata, a router, this machine."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")


def addresses_of(host: str) -> set[str]:
    """Return the addresses of a host name, or of an address in any form, such as 2130706433 for 127.0.0.1.

    Raises
    ------
    OSError
        If there are none.
    """
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except UnicodeError as error:  # a label of more than 63 characters
        raise OSError(f"{host} is no host name: {error}") from None


def is_public(address: str) -> bool:
    """Return whether an IP address can be reached from the whole internet, also through one that contains it.

    >>> is_public("8.8.8.8"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = _contained(ip) or ip
    return ip.is_global and not ip.is_multicast


def _contained(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
