//! What the kernel knows of processes and sockets.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

/// The receive buffer of every reader.
pub(crate) const RECEIVE_BUFFER: usize = 1 << 20;
/// Files that may be open: three per reader, and more.
const FILES: u64 = 65_536;

/// Takes as many open files as the host grants; the processes started from here have them too.
pub(crate) fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it is refused, a case with too many readers says so.
        let _refused = setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES.max(soft)), hard);
    }
}

/// How many files this process may have open.
pub(crate) fn file_limit() -> Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Gives a socket its receive buffer and says what the kernel gave.
pub(crate) fn receive_buffer(socket: &(impl AsFd + std::os::fd::AsRawFd)) -> Result<usize> {
    let sock = SockRef::from(socket);
    // Beyond rmem_max only where the process may.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        sock.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    // Linux counts its own bookkeeping and answers with twice the figure.
    Ok(sock.recv_buffer_size()? / 2)
}

/// The CPU time of a process in nanoseconds: user and system time of its threads.
pub(crate) fn cpu_nanos(process: u32) -> Result<u64> {
    let threads = threads(process)?;
    if threads.is_empty() {
        return cpu_ticks(process);
    }
    Ok(threads.values().map(|thread| thread.ran).sum())
}

/// The scheduler's account of a thread, in nanoseconds.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Thread {
    /// User and system time.
    pub(crate) ran: u64,
    /// How long it could have run and had no core.
    pub(crate) waited: u64,
}

/// The threads of a process by their numbers; none where the kernel keeps no such account.
pub(crate) fn threads(process: u32) -> Result<HashMap<OsString, Thread>> {
    // The same time as utime and stime of /proc/PID/stat, which count in hundredths of a second:
    // too coarse for a proxy with one reader.
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .with_context(|| format!("there is no process {process}"))?;
    let account = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let mut figures = text.split_whitespace().map_while(|word| word.parse().ok());
        Some((task.file_name(), Thread { ran: figures.next()?, waited: figures.next()? }))
    };
    Ok(tasks.flatten().filter_map(account).collect())
}

/// The same from /proc/PID/stat, where the kernel keeps no better account.
fn cpu_ticks(process: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // What follows the name, which may hold anything; utime and stime are fields 14 and 15.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks * (1_000_000_000 / TICKS_PER_SECOND))
}

/// `USER_HZ`, which is the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// The resident memory of a process in bytes.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.context("no VmRSS")? * 1024)
}

/// How many datagrams the kernel has dropped at UDP sockets with these local ports.
pub(crate) fn dropped(ports: &HashSet<u16>) -> u64 {
    dropped_at(ports).values().sum()
}

/// The same of each of these ports.
pub(crate) fn dropped_at(ports: &HashSet<u16>) -> HashMap<u16, u64> {
    let Ok(table) = fs::read_to_string("/proc/net/udp") else { return HashMap::new() };
    let dropped = |line: &str| {
        let mut fields = line.split_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let drops: u64 = fields.next_back()?.parse().ok()?;
        ports.contains(&port).then_some((port, drops))
    };
    table.lines().skip(1).filter_map(dropped).collect()
}

/// Fails where the readers' sockets would lose what a player with a buffer of that size would not.
pub(crate) fn check_buffer(given: usize) -> Result<()> {
    ensure!(
        given >= RECEIVE_BUFFER,
        "the kernel gives receive buffers of {given} bytes only; run as root, or: \
         sysctl -w net.core.rmem_max={RECEIVE_BUFFER}"
    );
    Ok(())
}

/// What machines have in common whose ratios may be compared.
pub(crate) fn machine_class() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{cpus} x {model}")
}

/// What the figures were measured on, for those who read them.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, Linux {}", machine_class(), kernel.trim())
}
