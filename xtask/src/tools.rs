//! The programs that the tests run beside the proxy, and the one that counts instructions.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{agrees, output, run};

/// Debian's and Ubuntu's packages that bring all of it.
const PACKAGES: &[&str] = &[
    "ffmpeg",
    "gstreamer1.0-tools",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
    "gir1.2-gst-rtsp-server-1.0",
    "python3-gi",
    "iproute2",
    "valgrind",
];

const PROGRAMS: &[(&str, &str)] = &[
    ("ffmpeg", "-version"),
    ("ffprobe", "-version"),
    ("gst-launch-1.0", "--version"),
    ("ip", "-V"),
    ("valgrind", "--version"),
];

const ENCODERS: &[&str] = &["libx264", "libx265", "aac", "libopus", "mjpeg", "pcm_mulaw"];

/// One of each group has to be there.
const ELEMENTS: &[&[&str]] = &[
    &["rtspsrc"],
    &["rtph264pay"],
    &["rtph264depay"],
    &["rtph265pay"],
    &["rtph265depay"],
    &["rtpopuspay"],
    &["rtpopusdepay"],
    &["rtpjpegpay"],
    &["rtpjpegdepay"],
    &["rtppcmupay"],
    &["rtppcmudepay"],
    &["rtpmp4gpay"],
    &["rtpmp4gdepay"],
    &["h264parse"],
    &["h265parse"],
    &["aacparse"],
    &["avdec_h264", "openh264dec"],
];

/// Debian's own interpreter, for which the bindings are packaged; another one may come first in the
/// path.
const PYTHON: &str = "/usr/bin/python3";

const BINDINGS: &str = "import gi
for name in 'Gst', 'GstRtspServer':
    gi.require_version(name, '1.0')
from gi.repository import Gst, GstRtspServer";

/// Checks that all is there, installs what is missing where we know how, and checks again.
pub(crate) fn provide() -> Result<()> {
    let lacking = missing();
    if lacking.is_empty() {
        eprintln!("tools: ffmpeg, GStreamer, gst-rtsp-server and valgrind are there");
        return Ok(());
    }
    eprintln!("tools: missing: {}", lacking.join(", "));
    install()?;
    let lacking = missing();
    if !lacking.is_empty() {
        bail!("still missing after the installation: {}", lacking.join(", "));
    }
    Ok(())
}

fn missing() -> Vec<String> {
    let mut lacking: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, version)| !agrees(program, &[version]))
        .map(|(program, _)| (*program).to_owned())
        .collect();

    let encoders = output("ffmpeg", &["-hide_banner", "-encoders"]).unwrap_or_default();
    let encoders: BTreeSet<&str> =
        encoders.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let absent = ENCODERS.iter().filter(|name| !encoders.contains(*name));
    lacking.extend(absent.map(|name| format!("ffmpeg's encoder {name}")));

    let there = |element: &&str| agrees("gst-inspect-1.0", &["--exists", element]);
    let absent = ELEMENTS.iter().filter(|group| !group.iter().any(there));
    lacking.extend(absent.map(|group| format!("GStreamer's {}", group.join(" or "))));

    if !agrees(PYTHON, &["-c", BINDINGS]) {
        lacking.push(format!("gst-rtsp-server's bindings for {PYTHON}"));
    }
    lacking
}

fn install() -> Result<()> {
    let packages = PACKAGES.join(" ");
    if !agrees("apt-get", &["--version"]) {
        bail!(
            "install ffmpeg (with x264, x265 and opus), GStreamer with all its plugins, \
             gst-rtsp-server with its Python bindings, iproute2 and valgrind; on Debian and Ubuntu that is: \
             sudo apt-get update && sudo apt-get install -y {packages}"
        );
    }
    let root = output("id", &["-u"]).is_some_and(|id| id.trim() == "0");
    if !root && !agrees("sudo", &["-n", "true"]) {
        bail!("run this as root: apt-get update && apt-get install -y {packages}");
    }
    let apt_get = || {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(PACKAGES))
}
