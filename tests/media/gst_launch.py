#!/usr/bin/python3
"""gst-launch-1.0 for sources whose pads come from several threads at once.

gst-launch links such pads by a signal that is not safe there: with two tracks it now and then links
neither, or frees what it still uses. Here the pads of `rtspsrc name=source` go to the elements named
after their media (`video`, `audio`), or to the one named `media` whatever they are; a pad that
nobody waits for, and each after an element's first, is thrown away.

usage: gst_launch.py [-v] [-e] PIPELINE...
  -v  print what elements say by their `last-message`
  -e  end with EOS at SIGINT
"""
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

arguments = sys.argv[1:]
options = set()
while arguments and arguments[0] in ("-v", "-e"):
    options.add(arguments.pop(0))
Gst.init(None)
pipeline = Gst.parse_launchv(arguments)
source = pipeline.get_by_name("source")
loop = GLib.MainLoop()
waiting = {name: pipeline.get_by_name(name) for name in ("video", "audio", "media")}
status = 0


def added(_source, pad):
    """Runs on the thread that the pad belongs to."""
    media = pad.get_current_caps().get_structure(0).get_string("media")
    # `pop` is one step, whatever threads there are.
    element = waiting.pop(media, None) or waiting.pop("media", None)
    if element is None:
        element = Gst.ElementFactory.make("fakesink")
        element.set_property("async", False)
        pipeline.add(element)
        element.sync_state_with_parent()
    linked = pad.link(element.get_static_pad("sink"))
    if linked != Gst.PadLinkReturn.OK:
        print(f"ERROR: the {media} pad: {linked}", file=sys.stderr, flush=True)


def message(_bus, what):
    global status
    if what.type in (Gst.MessageType.ERROR, Gst.MessageType.WARNING):
        error, details = what.parse_error() if what.type == Gst.MessageType.ERROR else what.parse_warning()
        kind = what.type.first_value_nick.upper()
        said = f"{kind}: from element {what.src.get_path_string()}: {error.message}\n{details}"
        print(said, file=sys.stderr, flush=True)
    if what.type == Gst.MessageType.LATENCY:
        pipeline.recalculate_latency()
    if what.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS):
        status = int(what.type == Gst.MessageType.ERROR)
        loop.quit()


def interrupted():
    if "-e" in options:
        pipeline.send_event(Gst.Event.new_eos())
    else:
        loop.quit()
    return GLib.SOURCE_CONTINUE


def said(_pipeline, element, _property):
    print(f"{element.get_path_string()}: last-message = {element.get_property('last-message')}", flush=True)


source.connect("pad-added", added)
bus = pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message", message)
if "-v" in options:
    pipeline.connect("deep-notify::last-message", said)
GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, interrupted)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
sys.exit(status)
