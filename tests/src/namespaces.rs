//! Networks of the tests' own, joined by a cable, and names of their own; gone with the test.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Has what is sent through this end to its own network be no larger than so many bytes with their
/// IP headers, as if there were a tunnel on the way.
///
/// # Panics
/// If that cannot be done.
pub fn narrow(end: &End<'_>, mtu: u16) {
    end.net.within(|| {
        for address in end.addresses {
            let (kind, subnet) = match address {
                IpAddr::V4(v4) => {
                    let [a, b, c, _] = v4.octets();
                    ("-4", format!("{a}.{b}.{c}.0/24"))
                }
                IpAddr::V6(v6) => {
                    let [a, b, c, d, ..] = v6.segments();
                    ("-6", format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
                }
            };
            let mtu = mtu.to_string();
            ip(&[kind, "route", "replace", &subnet, "dev", end.name, "mtu", &mtu]);
        }
    });
}

/// The kernel's table of that name, such as `mcfilter`, of the network this is called in.
#[must_use]
pub fn table(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
}

/// The number of an interface of the network this is called in, as addresses of its link name it.
///
/// # Panics
/// If there is none of that name with an address of version 6.
#[must_use]
pub fn link(name: &str) -> u32 {
    let table = table("if_inet6");
    let line = table.lines().find(|line| line.split_whitespace().next_back() == Some(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|hex| u32::from_str_radix(hex, 16).ok()).expect("an interface")
}

fn ip(arguments: &[&str]) {
    run_program("ip", arguments);
}

fn run_program(name: &str, arguments: &[&str]) {
    let output = Command::new(name).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {}: {said}", arguments.join(" "));
}

/// What hosts' names stand for, in a file system view of its own.
#[derive(Debug)]
pub struct Hosts {
    file: std::path::PathBuf,
}

impl Hosts {
    /// Runs a test in a thread for which, and for whose processes, names are those of a file of
    /// its own, that can be changed meanwhile; `None`, said aloud, where that is not allowed.
    ///
    /// # Panics
    /// If the test does, or if the file cannot be put in place.
    pub fn with<T: Send>(names: &[(&str, &str)], run: impl FnOnce(&Self) -> T + Send) -> Option<T> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtsp-proxy-hosts-{}-{number}", std::process::id());
        let hosts = Self { file: std::env::temp_dir().join(name) };
        hosts.set(names);
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                if unshare(CloneFlags::CLONE_NEWNS).is_err() {
                    eprintln!("SKIPPED: this process may not make mount namespaces");
                    return None;
                }
                run_program("mount", &["--make-rprivate", "/"]);
                run_program("mount", &["--bind", &hosts.file.display().to_string(), "/etc/hosts"]);
                Some(run(&hosts))
            });
            match inside.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// From now on names stand for these addresses, a pair each.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, names: &[(&str, &str)]) {
        let lines = names.iter().map(|(name, address)| format!("{address} {name}\n"));
        std::fs::write(&self.file, lines.collect::<String>()).expect("a file for names");
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.file);
    }
}
