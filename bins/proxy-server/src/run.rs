//! From settings to a running proxy, and to its end.

use std::io::{self, Write};

use anyhow::{Context, Result};
use proxy_config::Settings;
use proxy_io::Proxy;
use rtsp_proto::url::RtspUrl;
use test_camera::{Camera, CameraOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::urls::play_urls;
use crate::wiring::proxy_options;

/// The name of the stream that shows the program without a camera.
const DEMO: &str = "demo";

/// Serves until a signal ends it.
///
/// # Errors
/// What keeps it from serving, such as a port that is in use.
pub(crate) fn run(mut settings: Settings) -> Result<()> {
    let demo = settings.demo.then(|| Camera::start(CameraOptions::default())).transpose();
    let demo = demo.context("cannot start the test camera")?;
    if let Some(camera) = &demo {
        let source = RtspUrl::parse(&camera.url(0)).context("the test camera's own URL")?;
        settings.add_stream(DEMO, source).map_err(anyhow::Error::msg)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start a runtime")?;
    // Before anything is bound: a signal that comes early must not go unheard.
    let mut ends = runtime.block_on(async {
        anyhow::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::user_defined1())?,
        ))
    })?;
    let proxy = Proxy::start(proxy_options(&settings)?)?;
    let port = proxy.addresses().first().map_or(settings.global.rtsp_port, |a| a.port());
    announce(&settings, port, demo.is_some())?;
    let status = settings.global.log.status;
    runtime.block_on(async {
        loop {
            let due = async {
                match status {
                    Some(every) => tokio::time::sleep(every).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ends.0.recv() => return,
                _ = ends.1.recv() => return,
                _ = ends.2.recv() => proxy.log_status(),
                () = due => proxy.log_status(),
            }
        }
    });
    tracing::info!("ending: readers get BYE, backends TEARDOWN");
    proxy.shutdown();
    Ok(())
}

/// Play URLs go to stdout, one a line; what a person is to do with them goes to stderr.
fn announce(settings: &Settings, port: u16, demo: bool) -> Result<()> {
    let mut stdout = io::stdout().lock();
    for url in play_urls(settings, port) {
        match writeln!(stdout, "{url}") {
            // Whoever started us may not want to know.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other.context("cannot write to stdout")?,
        }
    }
    let _flushed = stdout.flush();
    if demo {
        eprintln!("watch it: ffplay rtsp://127.0.0.1:{port}/{DEMO}");
    }
    Ok(())
}
