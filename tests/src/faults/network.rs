//! Networks that carry nothing, or only some of it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::faults::backend::Place;
use crate::faults::returns::BACK;
use crate::faults::stage::{Setting, Stage, Well, held};
use crate::faults::witness::Witness;
use crate::faults::{Outcome, Row};
use crate::reader::Over;
use crate::wait;

/// What falling back from UDP may take.
const BLOCKED: Duration = Duration::from_secs(5);
/// The port of a camera that is alone in its namespace.
const PORT: u16 = 554;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "half-open, UDP",
        deed: "the camera's link is down for 14 s (a veth of a network namespace)",
        bound: "first packet within 2 s of its return; readers held",
        is_short: false,
        run: || half_open("udp"),
    },
    Row {
        name: "half-open, TCP",
        deed: "the same with media interleaved",
        bound: "first packet within 2 s of its return; readers held",
        is_short: false,
        run: || half_open("tcp"),
    },
    Row {
        name: "UDP blocked",
        deed: "the camera grants UDP, but no datagram comes through",
        bound: "first packet, over TCP, within 5 s of PLAY",
        is_short: false,
        run: udp_blocked,
    },
];

/// A network namespace that a pair of interfaces leads to. It goes with this value.
#[derive(Debug)]
struct Namespace {
    name: String,
    camera: Ipv4Addr,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// Why that is not possible here.
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        // Addresses for tests of networks (RFC 2544), a pair of them for each process.
        let [a, b] = [(id >> 6) as u8, ((id << 2) & 0xff) as u8];
        let (host, camera) = (Ipv4Addr::new(198, 18, a, b | 1), Ipv4Addr::new(198, 18, a, b | 2));
        let name = format!("rtsp-{id}");
        ip(&["netns", "add", &name])?;
        let this = Self { name, camera };
        let (near, name) = (this.near(), &*this.name);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", FAR, "netns", name])?;
        ip(&["addr", "add", &format!("{host}/30"), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        this.within(&["addr", "add", &format!("{camera}/30"), "dev", FAR])?;
        this.within(&["link", "set", "lo", "up"])?;
        this.set("up")?;
        Ok(this)
    }

    fn near(&self) -> String {
        format!("v{}", self.name)
    }

    fn within(&self, arguments: &[&str]) -> Result<(), String> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Has the camera's link up or down.
    fn set(&self, state: &str) -> Result<(), String> {
        self.within(&["link", "set", FAR, state])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the pair goes with it, and so does ours.
        let _gone = ip(&["netns", "del", &self.name]);
        let _gone = ip(&["link", "del", &self.near()]);
    }
}

/// The camera's end.
const FAR: &str = "camera0";

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), said.trim()))
}

fn half_open(transport: &str) -> Outcome {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return Outcome::skipped(why),
    };
    let (ip, name) = (IpAddr::V4(namespace.camera), Some(namespace.name.clone()));
    let place = Some(Place { ip, port: PORT, namespace: name });
    let setting = Setting { transport, place, ..Setting::default() };
    held(&setting, |_| {
        let set = |state| namespace.set(state).unwrap_or_else(|why| panic!("{why}"));
        set("down");
        wait::pass(Duration::from_secs(14));
        let at = wait::now();
        set("up");
        Well { at, bound: BACK }
    })
}

fn udp_blocked() -> Outcome {
    let mut outcome = Outcome::default();
    let mut stage = Stage::new(&Setting::default());
    if let Some(camera) = &mut stage.camera {
        camera.tell("udp-silent");
    }
    let url = stage.url();
    for over in [Over::Udp, Over::Tcp] {
        let asked = wait::now();
        let witness = Witness::play(&url, over, &[1, 2]);
        wait::until(2 * BLOCKED, || witness.first_after(asked).is_some());
        let took = witness.first_after(asked).map(|at| at - asked);
        outcome.timed(&format!("{over:?} reader's first packet after"), took, BLOCKED);
        wait::pass(Duration::from_secs(2));
        witness.finish().into_iter().for_each(|what| outcome.wrong(what));
    }
    if !outcome.is_good() {
        outcome.wrong(format!("the proxy's log:\n{}", stage.proxy.log()));
    }
    outcome
}
