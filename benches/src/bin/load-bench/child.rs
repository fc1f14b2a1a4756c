//! Processes that end with whoever started them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use benches::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cores::Bound;

/// Lines of standard output that may wait to be read.
const LINES: usize = 1024;
/// How long a process may take to end.
const END: Duration = Duration::from_secs(3);

/// A process of ours.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program, on one core if it is said. Its standard error goes to a file, or where
    /// ours goes.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        log: Option<&Path>,
        core: Option<usize>,
    ) -> Result<Self> {
        let stderr = match log {
            Some(path) => Stdio::from(std::fs::File::create(path)?),
            None => Stdio::inherit(),
        };
        // It inherits our cores, and so knows from its beginning on how many it has.
        let bound = core.map(Bound::to).transpose()?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        drop(bound);
        let (sender, lines) = sync_channel(LINES);
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { name: name.to_owned(), child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output that begins like this.
    pub(crate) fn line(&mut self, begins: &str, by: Instant) -> Result<String> {
        loop {
            let left = by.saturating_duration_since(clock::mono());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(begins) => return Ok(line),
                Ok(_) => {}
                Err(_) => match self.child.try_wait()? {
                    Some(status) => bail!("{} ended: {status}", self.name),
                    None => bail!("{} said nothing in time", self.name),
                },
            }
        }
    }

    /// Ends it the way it is meant to end: its standard input is closed, and a signal says so too.
    pub(crate) fn stop(mut self, signal: Option<Signal>) -> Result<()> {
        drop(self.child.stdin.take());
        if let (Some(signal), Ok(id)) = (signal, i32::try_from(self.child.id())) {
            kill(Pid::from_raw(id), signal)?;
        }
        let by = clock::mono() + END;
        while clock::mono() < by {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            clock::sleep_until(clock::mono() + Duration::from_millis(10));
        }
        bail!("{} did not end", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::tests::usable;

    /// The cores that a program may use which asks as soon as it runs.
    fn cores_of_a_program(core: Option<usize>) -> String {
        let mut command = Command::new("grep");
        command.args(["Cpus_allowed_list", "/proc/self/status"]);
        let mut program = Process::start("grep", &mut command, None, core).unwrap();
        let by = clock::mono() + Duration::from_secs(10);
        let line = program.line("Cpus_allowed_list:", by).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    #[test]
    fn a_program_runs_on_the_core_it_was_given_and_the_next_one_on_all() {
        let (before, all) = (usable(), cores_of_a_program(None));
        for core in &before {
            assert_eq!(cores_of_a_program(Some(*core)), core.to_string());
            assert_eq!(usable(), before);
            assert_eq!(cores_of_a_program(None), all);
        }
    }

    #[test]
    fn a_program_that_cannot_be_started_leaves_the_cores_as_they_were() {
        let before = usable();
        let mut command = Command::new("/nowhere/at/all");
        Process::start("nothing", &mut command, None, before.last().copied()).unwrap_err();
        assert_eq!(usable(), before);
    }
}
