//! The proxy as a process.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::Process;
use crate::programs;

/// How long the proxy may take to bind its ports.
const START: Duration = Duration::from_secs(10);

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    /// The process.
    pub process: Process,
    port: u16,
}

/// A port that nobody listens on at the moment.
///
/// # Panics
/// If the host has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A port that was free may be somebody else's by the time it is asked for: so often another.
const PORT_ATTEMPTS: usize = 3;

fn on_free_port(start: impl Fn(u16) -> Result<Proxy, String>) -> Proxy {
    let mut attempts = (0..PORT_ATTEMPTS).map(|_| start(free_port()));
    let is_taken = |said: &String| said.contains("Address already in use");
    match attempts.find(|proxy| !proxy.as_ref().is_err_and(is_taken)) {
        Some(Ok(proxy)) => proxy,
        Some(Err(said)) => panic!("{said}"),
        None => panic!("{PORT_ATTEMPTS} free ports in turn were not free"),
    }
}

/// Backends hear at once when the last reader leaves.
const NO_LINGER: (&str, &str) = ("RTSP_PROXY_DEFAULTS_LINGER", "0s");

impl Proxy {
    /// Starts the proxy on a free port with these further arguments, and `-v`. Its backends hear at
    /// once when the last reader leaves (`linger = 0`).
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        on_free_port(|port| Self::attempt(port, arguments, &[NO_LINGER]))
    }

    /// The same on this port.
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start_on<S: AsRef<str>>(port: u16, arguments: &[S]) -> Self {
        Self::start_in(port, arguments, &[NO_LINGER])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start_in<S: AsRef<str>>(port: u16, arguments: &[S], variables: &[(&str, &str)]) -> Self {
        Self::attempt(port, arguments, variables).unwrap_or_else(|said| panic!("{said}"))
    }

    /// What the proxy said instead of a play URL, if it printed none in time.
    fn attempt<S: AsRef<str>>(
        port: u16,
        arguments: &[S],
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut command = Command::new(programs::proxy_server());
        command.args(["-p", &port.to_string(), "-v"]);
        command.args(arguments.iter().map(AsRef::as_ref));
        command.envs(variables.iter().copied());
        let process = Process::start("proxy-server", &mut command);
        let url = process.stdout().wait_for(START, |line| line.starts_with("rtsp://"));
        match url {
            Some(_) => Ok(Self { process, port }),
            None => {
                let said = process.stderr().all().join("\n");
                Err(format!("the proxy printed no play URL:\n{said}"))
            }
        }
    }

    /// Starts the proxy with one stream, `cam`, and waits until it has been described.
    ///
    /// # Panics
    /// If that does not happen.
    #[must_use]
    pub fn of_camera(url: &str, options: &[&str]) -> Self {
        let stream = format!("cam={url}");
        let arguments: Vec<&str> = options.iter().copied().chain([&*stream]).collect();
        let proxy = Self::start(&arguments);
        proxy.wait_described("cam");
        proxy
    }

    /// Starts the proxy on a configuration file's text, which must not have a port.
    ///
    /// # Panics
    /// If the file cannot be written or the proxy does not start.
    #[must_use]
    pub fn configured(text: &str) -> Self {
        on_free_port(|port| {
            let name = format!("rtsp-proxy-{}-{port}.toml", std::process::id());
            let file = std::env::temp_dir().join(name);
            std::fs::write(&file, text).expect("a file for the configuration");
            let proxy = Self::attempt(port, &["--config", &file.display().to_string()], &[]);
            // It has been read by now.
            let _gone = std::fs::remove_file(&file);
            proxy
        })
    }

    /// Everything that the log says.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr().all().join("\n")
    }

    /// The RTSP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a stream on loopback.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.port)
    }

    /// Waits until the log has a line with all of these words.
    ///
    /// # Panics
    /// If it does not come, with the log.
    pub fn wait_for_log(&self, bound: Duration, words: &[&str]) -> String {
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        match self.process.stderr().wait_for(bound, fits) {
            Some(line) => line,
            None => panic!(
                "no line with {words:?} in the proxy's log:\n{}",
                self.process.stderr().all().join("\n")
            ),
        }
    }

    /// Waits until a stream's backend has been described.
    pub fn wait_described(&self, name: &str) {
        self.wait_for_log(Duration::from_secs(20), &["backend described", name]);
    }

    /// Ends it as an operator would.
    ///
    /// # Panics
    /// If it does not end within 2 s with status 0.
    pub fn terminate(mut self) {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(Duration::from_millis(2500));
        assert!(
            status.is_some_and(|s| s.success()),
            "SIGTERM: {status:?}\n{}",
            self.process.stderr().all().join("\n")
        );
    }
}
