//! A TCP relay that changes what a backend says, byte for byte of equal length.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// Relays connections to `to`, with `this` replaced by `that` in what comes back, and gives its own
/// port. It ends with the process.
///
/// # Panics
/// If the two differ in length, or no port is free.
#[must_use]
pub fn replacing(to: SocketAddr, this: &'static str, that: &'static str) -> u16 {
    assert_eq!(this.len(), that.len(), "Content-Length must stay true");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for reader in listener.incoming().flatten() {
            let Ok(backend) = TcpStream::connect(to) else { continue };
            let (Ok(reader_side), Ok(backend_side)) = (reader.try_clone(), backend.try_clone())
            else {
                continue;
            };
            std::thread::spawn(move || copy(reader_side, backend, None));
            std::thread::spawn(move || copy(backend_side, reader, Some((this, that))));
        }
    });
    port
}

fn copy(mut from: TcpStream, mut to: TcpStream, change: Option<(&str, &str)>) {
    let mut chunk = [0; 65_536];
    while let Ok(length) = from.read(&mut chunk) {
        let Some(bytes) = chunk.get_mut(..length).filter(|bytes| !bytes.is_empty()) else { break };
        if let Some((this, that)) = change {
            // Answers come whole: the backend writes each at once.
            while let Some(at) = bytes.windows(this.len()).position(|w| w == this.as_bytes()) {
                let Some(place) = bytes.get_mut(at..at + that.len()) else { break };
                place.copy_from_slice(that.as_bytes());
            }
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // The other direction ends as well.
    let _gone = to.shutdown(Shutdown::Both);
}
