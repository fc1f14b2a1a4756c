#!/usr/bin/python3
"""A gst-rtsp-server with the mounts given as NAME=LAUNCH; prints its port once it listens."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
for mount in sys.argv[2:]:
    name, launch = mount.split("=", 1)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    server.get_mount_points().add_factory("/" + name, factory)
if server.attach(None) == 0:
    sys.exit("cannot listen on port " + sys.argv[1])
print("port", server.get_bound_port(), flush=True)
GLib.MainLoop().run()
