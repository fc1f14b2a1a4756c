//! A process that is ended, by its own id, when the test is.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::{Condvar, Mutex};

use crate::wait;

/// Lines of output kept at most; the oldest go first.
const MAX_LINES: usize = 20_000;

/// A running program whose output is gathered line by line.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
}

/// Lines of output as they come.
#[derive(Clone, Default, Debug)]
pub struct Lines {
    inner: Arc<(Mutex<Gathered>, Condvar)>,
}

#[derive(Default, Debug)]
struct Gathered {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn gather(stream: impl Read + Send + 'static) -> Self {
        let this = Self::default();
        let writer = this.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let (gathered, changed) = &*writer.inner;
                let mut gathered = gathered.lock();
                if gathered.lines.len() >= MAX_LINES {
                    gathered.lines.remove(0);
                }
                gathered.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                changed.notify_all();
                line.clear();
            }
            let (gathered, changed) = &*writer.inner;
            gathered.lock().ended = true;
            changed.notify_all();
        });
        this
    }

    /// All lines so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.inner.0.lock().lines.clone()
    }

    /// Waits for a line that fits; `None` if the bound passes or the output ends without one.
    pub fn wait_for(&self, bound: Duration, fits: impl Fn(&str) -> bool) -> Option<String> {
        let end = wait::now() + bound;
        let (gathered, changed) = &*self.inner;
        let mut gathered = gathered.lock();
        loop {
            if let Some(line) = gathered.lines.iter().find(|line| fits(line)) {
                return Some(line.clone());
            }
            if gathered.ended || changed.wait_until(&mut gathered, end).timed_out() {
                return gathered.lines.iter().find(|line| fits(line)).cloned();
            }
        }
    }

    /// How many lines fit.
    #[must_use]
    pub fn count(&self, fits: impl Fn(&str) -> bool) -> usize {
        self.inner.0.lock().lines.iter().filter(|line| fits(line)).count()
    }
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let (mut this, stdout) = Self::spawn(name, command.stdin(Stdio::null()));
        this.stdout = stdout.map(Lines::gather).unwrap_or_default();
        this
    }

    /// Starts a program that is told things on its standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_told(name: &str, command: &mut Command) -> Self {
        let (mut this, stdout) = Self::spawn(name, command.stdin(Stdio::piped()));
        this.stdout = stdout.map(Lines::gather).unwrap_or_default();
        this
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// If it was not started to be told anything, or is gone.
    pub fn tell(&mut self, line: &str) {
        let Some(stdin) = &mut self.stdin else { panic!("{} takes no input", self.name) };
        let told = stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
        told.unwrap_or_else(|error| panic!("{} cannot be told {line:?}: {error}", self.name));
    }

    /// Starts a program whose standard output is no text; `read` has it on a thread of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with(
        name: &str,
        command: &mut Command,
        read: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> Self {
        let (this, stdout) = Self::spawn(name, command.stdin(Stdio::null()));
        if let Some(stdout) = stdout {
            std::thread::spawn(move || read(stdout));
        }
        this
    }

    fn spawn(name: &str, command: &mut Command) -> (Self, Option<ChildStdout>) {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stderr = child.stderr.take().map(Lines::gather).unwrap_or_default();
        (Self { name: name.to_owned(), child, stdin, stdout: Lines::default(), stderr }, stdout)
    }

    /// What it writes to standard output.
    #[must_use]
    pub fn stdout(&self) -> &Lines {
        &self.stdout
    }

    /// What it writes to standard error.
    #[must_use]
    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _gone = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(&mut self, bound: Duration) -> Option<ExitStatus> {
        let mut status = None;
        wait::until(bound, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Waits for its end and takes it for a failure if that does not come, or not with success.
    ///
    /// # Panics
    /// With the program's output, if it failed.
    pub fn expect_success(&mut self, bound: Duration) {
        match self.wait(bound) {
            Some(status) if status.success() => {}
            other => panic!(
                "{} ended with {other:?}\n{}\n{}",
                self.name,
                self.stdout.all().join("\n"),
                self.stderr.all().join("\n")
            ),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process does not die of anything but this.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
