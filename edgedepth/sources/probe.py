"""Why a network stream did not open: OpenCV only says that it did not."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from edgedepth.errors import InputError, SourceAuthError, SourceError, SourceNotFound
from edgedepth.sources._uri import redact

__all__ = ["explain"]

_PORTS = {"rtsp": 554, "rtsps": 322}


def explain(uri: str, timeout_s: float) -> SourceError | InputError:
    """The error for ``uri``, an rtsp(s) or http(s) stream that FFmpeg could not open, by asking its server."""
    name = redact(uri)
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return InputError(f"{name}: not a valid URL ({error})")
    if not host:
        return InputError(f"{name}: expected {parts.scheme}://HOST[:PORT]/PATH, found no host")
    ask = _rtsp_status if parts.scheme.lower() in _PORTS else _http_status
    try:
        status = ask(parts, host, port, timeout_s)
    except (OSError, ValueError) as error:
        return _unreachable(error, name, host, timeout_s)
    return _refused(status, name, parts)


def _unreachable(error: Exception, name: str, host: str, timeout_s: float) -> SourceError:
    if isinstance(error, ssl.SSLError):
        return SourceError(f"{name}: no secure connection to {host} ({error.reason or error})")
    reasons: dict[type[Exception], str] = {
        TimeoutError: f"{host} does not answer within {timeout_s:g} s; check address and network",
        socket.gaierror: f"no host of the name {host}; check the address",
        ConnectionRefusedError: f"{host} refuses the connection; is the camera on, and the port right?",
        OSError: f"cannot reach {host} ({error}); check address and network",
        ValueError: f"{host} answers in another protocol; check scheme and port",
    }
    return SourceNotFound(f"{name}: {next(text for kind, text in reasons.items() if isinstance(error, kind))}")


def _refused(status: int, name: str, parts: SplitResult) -> SourceError:
    if status in (401, 403):
        cure = "check user name and password" if parts.username else f"give them: {parts.scheme}://USER:PASSWORD@..."
        return SourceAuthError(f"{name}: the server refused access ({status}); {cure}")
    if status in (404, 410):
        return SourceNotFound(f"{name}: the server has no such stream ({status}); check the path")
    if status == 200:
        return SourceError(f"{name}: the server answers, but gives no video FFmpeg can decode; check path and codec")
    return SourceError(f"{name}: the server answers with status {status} instead of a stream")


def _http_status(parts: SplitResult, host: str, port: int | None, timeout_s: float) -> int:
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    headers = {"Authorization": _basic(parts)} if parts.username else {}
    try:
        with urlopen(Request(bare, headers=headers), timeout=timeout_s) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from error
    except HTTPException as error:
        raise ValueError("not HTTP") from error


def _rtsp_status(parts: SplitResult, host: str, port: int | None, timeout_s: float) -> int:
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    scheme = parts.scheme.lower()
    with socket.create_connection((host, port or _PORTS[scheme]), timeout=timeout_s) as plain:
        connection = _tls().wrap_socket(plain, server_hostname=host) if scheme == "rtsps" else plain
        with connection:
            status, challenges = _describe(connection, bare, 1, "")
            if status == 401 and parts.username:
                answer = _digest(parts, bare, challenges) or _basic(parts)
                status, _ = _describe(connection, bare, 2, f"Authorization: {answer}\r\n")
            return status


def _tls() -> ssl.SSLContext:
    # FFmpeg, which failed before, does not check certificates either, and cameras sign their own.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _describe(connection: socket.socket, url: str, number: int, header: str) -> tuple[int, str]:
    connection.sendall(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: {number}\r\nAccept: application/sdp\r\n{header}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < 1 << 16:
        chunk = connection.recv(4096)
        if not chunk:
            break
        answer += chunk
    head = answer.decode("latin-1")
    match = re.match(r"RTSP/\d\.\d (\d{3})", head)
    if match is None:
        raise ValueError("not RTSP")
    return int(match[1]), "\n".join(re.findall(r"(?im)^WWW-Authenticate:\s*(.*?)\r?$", head))


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _digest(parts: SplitResult, url: str, challenges: str) -> str | None:
    """RFC 2617 section 3.2.2 without qop, which is what RTSP cameras ask for; None when not asked for."""
    found = re.search(r"(?im)^Digest\s(.*)$", challenges)
    if found is None:
        return None
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', found[1]))
    user, word = unquote(parts.username or ""), unquote(parts.password or "")
    realm, nonce = fields.get("realm", ""), fields.get("nonce", "")

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    response = md5(f"{md5(f'{user}:{realm}:{word}')}:{nonce}:{md5(f'DESCRIBE:{url}')}")
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{url}", response="{response}"'
