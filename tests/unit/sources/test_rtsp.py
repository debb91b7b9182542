"""A real RTSP server on loopback: killed and restarted, refusing, black."""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import (
    AbstractDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    parse_http_list,
    parse_keqv_list,
)

import numpy as np
import pytest
from rtsp import RtspServer

from edgedepth.errors import FrameTimeout, SourceAuthError, SourceError, SourceLost, SourceNotFound
from edgedepth.sources import Source, SourceOptions, open_source
from edgedepth.sources.probe import explain
from edgedepth.types import Frame

QUICK = SourceOptions(backoff_s=0.1, backoff_cap_s=0.2, stall_s=2.0, open_timeout_s=5.0)


def rtsp(server: RtspServer, login: str = "", path: str = "/cam") -> str:
    return server.url(path, login)


def gst_rtsp(server: RtspServer, login: str = "", path: str = "/cam") -> str:
    return f"gst:rtspsrc location={server.url(path, login)} latency=20 ! decodebin"


both = pytest.mark.parametrize("uri_of", [rtsp, gst_rtsp])
UriOf = Callable[..., str]


def read_until(source: Source, wanted: Callable[[Frame], bool], limit_s: float = 15.0) -> Frame:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        try:
            frame = source.read(0.5)
        except FrameTimeout:
            continue
        if wanted(frame):
            return frame
    raise AssertionError("the frame did not come")


def is_bars(frame: Frame) -> bool:
    """SMPTE bars are bright; the ball is small on black."""
    return frame.image.mean() > 60


@both
def test_comes_back_after_the_server_was_killed_with_fresh_frames(
    uri_of: UriOf, caplog: pytest.LogCaptureFixture
) -> None:
    with RtspServer(pattern="ball") as server, open_source(uri_of(server), QUICK) as source:
        before = source.read(5.0)
        assert not is_bars(before)
        server.kill()
        # What had arrived may still be handed out; then nothing, and no repeated frame.
        with pytest.raises(FrameTimeout, match="reconnecting"):
            for _ in range(50):
                before = source.read(0.5)
        with RtspServer(port=server.port, pattern="smpte") as _again:
            restarted_ns = time.monotonic_ns()
            after = read_until(source, lambda _: True)
            assert is_bars(after)
            assert after.timestamp_ns > restarted_ns
            assert after.sequence > before.sequence
    assert "reconnecting" in caplog.text


@both
def test_black_frames_are_withheld(uri_of: UriOf) -> None:
    with RtspServer(pattern="smpte") as server, open_source(uri_of(server), QUICK) as source:
        source.read(5.0)
        server.show("black")
        read = []
        with pytest.raises(FrameTimeout, match="black or uniform"):
            for _ in range(200):
                read.append(source.read(0.5))  # noqa: PERF401  (the last call raises)
        assert all(is_bars(frame) for frame in read)
        assert source.dropped > 5
        server.show("smpte")
        assert is_bars(source.read(5.0))


@both
@pytest.mark.parametrize("login", ["", "viewer:wrong@"])
def test_refused_credentials(uri_of: UriOf, login: str) -> None:
    with RtspServer(user="viewer", password="right") as server, pytest.raises(SourceAuthError) as caught:
        open_source(uri_of(server, login), QUICK)
    assert "wrong" not in str(caught.value)


@both
def test_accepted_credentials_are_shown_nowhere(uri_of: UriOf) -> None:
    with (
        RtspServer(user="viewer", password="right") as server,
        open_source(uri_of(server, "viewer:right@"), QUICK) as source,
    ):
        frame = source.read(5.0)
        assert "right" not in source.uri + frame.source
        assert "***@127.0.0.1" in source.uri
        assert not any("right" in thread.name for thread in threading.enumerate())


@both
def test_unknown_path(uri_of: UriOf) -> None:
    with RtspServer() as server, pytest.raises(SourceNotFound):
        open_source(uri_of(server, path="/nothing"), QUICK)


@both
def test_nobody_listens(uri_of: UriOf) -> None:
    with RtspServer() as server:
        pass
    with pytest.raises(SourceNotFound):
        open_source(uri_of(server), QUICK)


def test_lost_for_good() -> None:
    with RtspServer() as server:
        options = SourceOptions(backoff_s=0.1, backoff_cap_s=0.2, give_up_s=0.5)
        with open_source(server.url(), options) as source:
            source.read(5.0)
            server.kill()
            with pytest.raises(SourceLost, match="not back"):
                read_until(source, lambda _: False)


class _Answer(BaseHTTPRequestHandler):
    """Answers each path with the status that it names; /200 is a page and not a video."""

    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        if self.headers.get("Authorization") == "Basic dTpw":  # u:p
            status = 404
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("login", "status", "error", "words"),
    [
        ("", 401, SourceAuthError, "give them"),
        ("u:x@", 401, SourceAuthError, "check user name"),
        ("u:p@", 401, SourceNotFound, "404"),
        ("", 403, SourceAuthError, "403"),
        ("", 404, SourceNotFound, "404"),
        ("", 503, SourceError, "503"),
        ("", 200, SourceError, "no video"),
    ],
)
def test_http_answers(login: str, status: int, error: type[Exception], words: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02), daemon=True).start()
    try:
        with pytest.raises(error, match=words) as caught:
            open_source(f"http://{login}127.0.0.1:{server.server_address[1]}/{status}", QUICK)
        assert type(caught.value) is error
    finally:
        server.shutdown()
        server.server_close()


REALM, NONCE = "testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093"
CHALLENGE = f'realm="{REALM}", nonce="{NONCE}"'


def _digest_camera(listener: socket.socket, url: str) -> None:
    """Takes the login that urllib computes (RFC 2617 without qop), and nothing else."""
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, "http://camera/", "Mufasa", "Circle Of Life")
    request = Request("http://camera/", method="DESCRIBE")
    request.selector = url
    challenge = parse_keqv_list(parse_http_list(CHALLENGE))
    wanted = AbstractDigestAuthHandler(passwords).get_authorization(request, challenge)
    response = wanted.partition('response="')[2].partition('"')[0]
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(f"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Digest {CHALLENGE}\r\n\r\n".encode())
        good = f'response="{response}"' in connection.recv(4096).decode()
        connection.sendall(f"RTSP/1.0 {404 if good else 401} x\r\nCSeq: 2\r\n\r\n".encode())


@pytest.mark.parametrize(("word", "error"), [("Circle%20Of%20Life", SourceNotFound), ("wrong", SourceAuthError)])
def test_digest_login_is_tried_before_the_password_is_blamed(word: str, error: type[Exception]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}/dir"
        threading.Thread(target=_digest_camera, args=(listener, f"rtsp://{address}"), daemon=True).start()
        assert type(explain(f"rtsp://Mufasa:{word}@{address}", 5.0)) is error


def test_another_protocol_and_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = explain(f"rtsp://127.0.0.1:{port}/x", 0.2)
        assert isinstance(error, SourceNotFound)
        assert "does not answer within 0.2 s" in str(error)
        listener.accept()[0].close()  # the probe's own

        def greet() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        error = explain(f"rtsp://127.0.0.1:{port}/x", 5.0)
        thread.join(5)
    assert "another protocol" in str(error) or "cannot reach" in str(error)


@pytest.mark.parametrize(("uri", "words"), [("rtsp:///cam", "no host"), ("rtsp://host:port/cam", "not a valid URL")])
def test_malformed(uri: str, words: str) -> None:
    assert words in str(explain(uri, 1.0))


def test_frames_of_the_wire_keep_their_colours() -> None:
    with RtspServer(pattern="smpte") as server, open_source(server.url(), QUICK) as source:
        image = source.read(5.0).image
    # SMPTE bars, from the left: grey yellow cyan green magenta red blue; 75 %.
    bars = [np.median(image[40, x - 3 : x + 3], axis=0) > 96 for x in (23, 68, 114, 160, 206, 251, 297)]
    wanted = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
    assert [tuple(bar) for bar in bars] == [tuple(map(bool, colour)) for colour in wanted]
