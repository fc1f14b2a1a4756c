//! An answer before it knows its CSeq.

use core::time::Duration;

use bytes::Bytes;
use rtsp_proto::{Response, StatusCode};

/// A response without the headers that every response has.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    reason: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, reason: String::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn ok() -> Self {
        Self::new(StatusCode::OK)
    }

    pub(crate) fn not_implemented() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED).with("Public", PUBLIC)
    }

    /// 503, which always says when to come again.
    pub(crate) fn unavailable(retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(retry_after)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        // Much of what is put here was sent by the reader: nothing of it may end the line.
        let mut value = value.into();
        value.retain(|c| !c.is_control());
        self.headers.push((name, value));
        self
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        self.with("Retry-After", seconds.max(1).to_string())
    }

    /// A reason phrase of one's own; characters that would end the status line are left out.
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.chars().filter(|c| !c.is_control()).collect();
        self
    }

    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// The message as it is sent. `cseq` is missing only where the request had none.
    pub(crate) fn into_response(self, cseq: Option<u32>, server: &str) -> Response {
        let mut response = Response::new(self.status);
        if !self.reason.is_empty() {
            response.reason = self.reason;
        }
        if let Some(cseq) = cseq {
            response.headers.push("CSeq", cseq.to_string());
        }
        if !server.is_empty() {
            response.headers.push("Server", server);
        }
        for (name, value) in self.headers {
            response.headers.push(name, value);
        }
        response.body = self.body;
        response
    }
}

/// The methods that readers may use.
pub(crate) const PUBLIC: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
