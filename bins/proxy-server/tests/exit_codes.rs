//! What a script sees: exit codes, and which stream a text goes to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn proxy_server(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxy-server"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../crates/proxy-config/proxy-server.example.toml")
}

#[test]
fn what_was_asked_for_goes_to_stdout_and_exits_with_0() {
    let example = example();
    let example = example.to_str().expect("UTF-8");
    for (arguments, begins) in [
        (&["--help"][..], "Pulls RTSP cameras"),
        (&["--version"], concat!("proxy-server ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["check", example], example),
    ] {
        let output = proxy_server(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).starts_with(begins), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn wrong_usage_and_configuration_exit_with_2_and_one_line_on_stderr() {
    for arguments in [
        &["-T", "x", "rtsp://camera/1"][..],
        &["http://camera/1"],
        &["-p", "many"],
        &["--config", "there-is-no-such-file.toml"],
        &["check"],
        &["a=rtsp://camera/1", "a=rtsp://camera/2"],
    ] {
        let output = proxy_server(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let errors = text(&output.stderr);
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
        assert!(errors.starts_with("proxy-server: "), "{arguments:?}: {errors}");
    }
}
