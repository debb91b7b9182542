"""An RTSP server on loopback, run as a program so that a test can kill it like a real one.

    python rtsp_server.py [--port N] [--pattern ball] [--user NAME --password WORD]

Serves ``rtsp://127.0.0.1:<port>/cam`` (H.264, 320x240, 30 fps, live) and prints ``ready <port>``. Each line on stdin
is the name of a videotestsrc pattern to switch to while it runs. Ends with its stdin.
"""

from __future__ import annotations

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( videotestsrc is-live=true name=test pattern={pattern} ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1 ! rtph264pay name=pay0 pt=96 )"
)


def require_login(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, user: str, word: str
) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, word), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for what in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", what, True)
    factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    args = parser.parse_args()
    Gst.init(None)
    media_elements: list[Gst.Element] = []

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(pattern=args.pattern))
    factory.set_shared(True)
    factory.connect("media-configure", lambda _, media: media_elements.append(media.get_element()))
    if args.user:
        require_login(server, factory, args.user, args.password)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port {args.port} is taken")
    loop = GLib.MainLoop()

    def obey() -> None:
        for line in sys.stdin:
            for element in media_elements:
                Gst.util_set_object_arg(element.get_by_name_recurse_up("test"), "pattern", line.strip())
        loop.quit()

    threading.Thread(target=obey, daemon=True).start()
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
