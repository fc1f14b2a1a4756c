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

impl Proxy {
    /// Starts the proxy on a free port with these further arguments, and `-v`. Its backends hear at
    /// once when the last reader leaves (`linger = 0`).
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        Self::start_on(free_port(), arguments)
    }

    /// The same on this port.
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start_on<S: AsRef<str>>(port: u16, arguments: &[S]) -> Self {
        Self::start_in(port, arguments, &[("RTSP_PROXY_DEFAULTS_LINGER", "0s")])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// If it does not print a play URL in time.
    #[must_use]
    pub fn start_in<S: AsRef<str>>(port: u16, arguments: &[S], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(programs::proxy_server());
        command.args(["-p", &port.to_string(), "-v"]);
        command.args(arguments.iter().map(AsRef::as_ref));
        command.envs(variables.iter().copied());
        let process = Process::start("proxy-server", &mut command);
        let url = process.stdout().wait_for(START, |line| line.starts_with("rtsp://"));
        assert!(
            url.is_some(),
            "the proxy printed no play URL:\n{}",
            process.stderr().all().join("\n")
        );
        Self { process, port }
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
        let port = free_port();
        let file =
            std::env::temp_dir().join(format!("rtsp-proxy-{}-{port}.toml", std::process::id()));
        std::fs::write(&file, text).expect("a file for the configuration");
        let proxy = Self::start_in(port, &["--config", &file.display().to_string()], &[]);
        // It has been read by now.
        let _gone = std::fs::remove_file(&file);
        proxy
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
