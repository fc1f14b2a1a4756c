//! From settings to a running proxy.

use anyhow::{Result, bail};
use proxy_config::Settings;

use crate::urls::play_urls;

/// Serves until a signal ends it.
///
/// # Errors
/// What keeps it from serving, such as a port that is in use.
pub(crate) fn run(settings: Settings) -> Result<()> {
    let urls = play_urls(&settings, settings.global.rtsp_port);
    bail!("cannot serve {}: the server is not wired in", urls.join(", "))
}
