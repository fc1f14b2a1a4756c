//! A server that sends everybody elsewhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// The server; its thread ends with the process.
#[derive(Debug)]
pub struct Redirector {
    address: SocketAddr,
    heard: Arc<Mutex<String>>,
}

impl Redirector {
    /// Answers each request with a redirection to `location`.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn to(location: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Mutex::new(String::new()));
        let (location, to) = (location.to_owned(), Arc::clone(&heard));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // One that goes away has what it came for.
                let _gone = serve(client, &location, &to);
            }
        });
        Self { address, heard }
    }

    /// A URL of this server, with credentials in it if there are any.
    #[must_use]
    pub fn url(&self, credentials: &str) -> String {
        format!("rtsp://{credentials}{}/cam", self.address)
    }

    /// All that clients said.
    #[must_use]
    pub fn heard(&self) -> String {
        self.heard.lock().clone()
    }
}

fn serve(mut client: TcpStream, location: &str, heard: &Mutex<String>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = client.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..length]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("0");
        let answer = format!(
            "RTSP/1.0 302 Moved Temporarily\r\nCSeq: {cseq}\r\nLocation: {location}\r\n\r\n"
        );
        heard.lock().push_str(&text);
        client.write_all(answer.as_bytes())?;
        request.clear();
    }
}
