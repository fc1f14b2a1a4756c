/// What one peer can make a [`crate::Decoder`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The start line and headers of one message, line ends included. Default 16 KiB.
    pub header_bytes: usize,
    /// The headers of one message. Default 64.
    pub headers: usize,
    /// The body of one message. Default 256 KiB.
    pub body_bytes: usize,
    /// Bytes that belong to no frame and are skipped before the stream is given up; counted anew
    /// once two frames follow each other. A server skips none. Default 64 KiB.
    pub stray_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 * 1024,
            headers: 64,
            body_bytes: 256 * 1024,
            stray_bytes: 64 * 1024,
        }
    }
}
