"""Download of an image by its URL: only from allowed hosts, never from a private address."""

from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from recommender.errors import RequestError
from serving.schemas.requests import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    import httpx

SECONDS = 5.0
_AT = "/image_url"


def fetched(url: str, hosts: Collection[str]) -> bytes:
    """Return the file at `url`.

    Raises
    ------
    RequestError
        The host is not among `hosts` or at a private address; the file is missing, too large or too slow.
    """
    import httpx

    parts = _parts(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or host not in hosts:
        raise RequestError(f"images are fetched by https from {', '.join(hosts) or 'no host'}; found {url}", _AT)
    address = _public_address(host)
    # connect to the address that was checked: the name may resolve to another one the next time
    try:
        at_address = httpx.URL(url).copy_with(host=address)
    except httpx.InvalidURL as error:
        raise RequestError(f"image_url is no URL: {error}", _AT) from None
    until = monotonic() + SECONDS
    try:
        with (
            httpx.Client(timeout=SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET", at_address, headers={"Host": parts.netloc}, extensions={"sni_hostname": host}
            ) as response,
        ):
            if response.status_code != 200:
                raise RequestError(f"{host} responded with {response.status_code}", _AT)
            return _read(response, until)
    except httpx.HTTPError as error:
        raise RequestError(f"{host} does not answer: {error}", _AT) from None


def _parts(url: str) -> SplitResult:
    """Return the parts of a URL; raises `RequestError` if it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError as error:
        raise RequestError(f"image_url is no URL: {error}", _AT) from None
    return parts


def _public_address(host: str) -> str:
    from recommender.encoders.support.addresses import addresses_of, is_public

    try:
        addresses = addresses_of(host)
    except (OSError, UnicodeError):
        raise RequestError(f"there is no host {host}", _AT) from None
    if not all(map(is_public, addresses)):
        raise RequestError(f"{host} is at a private address", _AT)
    return min(addresses)


def _read(response: "httpx.Response", until: float) -> bytes:
    file = b""
    for chunk in response.iter_bytes():
        file += chunk
        if len(file) > MAX_IMAGE_BYTES or monotonic() > until:
            raise RequestError(f"the image has more than {MAX_IMAGE_BYTES} bytes, or takes too long", _AT)
    return file
