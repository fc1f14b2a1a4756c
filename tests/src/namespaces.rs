//! Network namespaces of the tests' own, joined by a cable; gone with the test.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// A network of its own, with loopback up.
#[derive(Debug)]
pub struct Net {
    namespace: File,
}

/// One end of a cable.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// Where it is.
    pub net: &'a Net,
    /// Its interface's name.
    pub name: &'a str,
    /// Its addresses, all in networks of 24 or 64 bits.
    pub addresses: &'a [IpAddr],
}

impl Net {
    /// A new one; `None`, said aloud, where this process may not make any.
    ///
    /// # Panics
    /// If it cannot be set up.
    #[must_use]
    pub fn new() -> Option<Self> {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            ip(&["link", "set", "lo", "up"]);
            File::open("/proc/thread-self/ns/net").ok()
        });
        let namespace = made.join().expect("a network");
        if namespace.is_none() {
            eprintln!("SKIPPED: this process may not make network namespaces");
        }
        Some(Self { namespace: namespace? })
    }

    /// Does something in this network: sockets, threads and processes made there stay in it.
    ///
    /// # Panics
    /// If that panics.
    pub fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("the network is there");
                run()
            });
            match inside.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }
}

/// Joins two networks that have no other way out: what is of neither goes to the other.
///
/// # Panics
/// If that cannot be done.
pub fn join(one: &End<'_>, other: &End<'_>) {
    join_plainly(one, other);
    // Groups go that way, whatever the address.
    for end in [one, other] {
        end.net.within(|| ip(&["route", "add", "default", "dev", end.name]));
    }
}

/// Joins two networks, which reach each other's ends and nothing behind them.
///
/// # Panics
/// If that cannot be done.
pub fn join_plainly(one: &End<'_>, other: &End<'_>) {
    one.net.within(|| {
        ip(&[
            "link",
            "add",
            "name",
            one.name,
            "type",
            "veth",
            "peer",
            "name",
            other.name,
            "netns",
            &other.net.path(),
        ]);
    });
    for end in [one, other] {
        end.net.within(|| {
            for address in end.addresses {
                let bits = if address.is_ipv4() { 24 } else { 64 };
                let address = format!("{address}/{bits}");
                // No waiting for whether anybody else has the address.
                let nodad = if address.contains(':') { &["nodad"][..] } else { &[] };
                ip(&[&["address", "add", &address, "dev", end.name], nodad].concat());
            }
            ip(&["link", "set", end.name, "up"]);
        });
    }
}

/// The kernel's table of that name, such as `mcfilter`, of the network this is called in.
#[must_use]
pub fn table(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("`ip` of iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
