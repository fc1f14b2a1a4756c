#!/usr/bin/python3
"""A gst-rtsp-server with the mounts given as NAME=LAUNCH; prints its port once it listens.

usage: gst_server.py [--address A] [--tls CERTIFICATE KEY] [--group G] PORT NAME=LAUNCH...
"""
import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--address", default="127.0.0.1")
parser.add_argument("--tls", nargs=2)
parser.add_argument("--group")
parser.add_argument("port")
parser.add_argument("mounts", nargs="*")
given = parser.parse_args()

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address(given.address)
server.set_service(given.port)
if given.tls:
    auth = GstRtspServer.RTSPAuth()
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(*given.tls))
    # Without credentials everybody is this one.
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "anybody")
    auth.set_default_token(token)
    server.set_auth(auth)
for mount in given.mounts:
    name, launch = mount.split("=", 1)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    if given.tls:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("anybody", "media.factory.access", True)
        permissions.add_permission_for_role("anybody", "media.factory.construct", True)
        factory.set_permissions(permissions)
    if given.group:
        pool = GstRtspServer.RTSPAddressPool()
        pool.add_range(given.group, given.group, 5700, 5709, 4)
        factory.set_address_pool(pool)
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
    server.get_mount_points().add_factory("/" + name, factory)
if server.attach(None) == 0:
    sys.exit("cannot listen on port " + given.port)
print("port", server.get_bound_port(), flush=True)
GLib.MainLoop().run()
