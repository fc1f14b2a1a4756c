//! A way to the backend that can be shut, or lead to something else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::proxy::free_port;
use crate::wait;

/// How often the state is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What becomes of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// They are relayed.
    Open,
    /// Nobody listens; those there are closed.
    Shut,
    /// They are accepted and told garbage; those there are get some too, and are closed.
    Garbage,
}

/// A relay on loopback. It ends with the process.
#[derive(Debug)]
pub(crate) struct Gate {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// The connections from the proxy and to the backend.
    pairs: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Gate {
    /// Opens a way to `to`.
    pub(crate) fn open(to: SocketAddr) -> Self {
        let port = free_port();
        let shared =
            Arc::new(Shared { state: AtomicU8::new(code(State::Open)), pairs: Mutex::default() });
        let own = Arc::clone(&shared);
        let first = listen(port);
        std::thread::spawn(move || own.run(port, to, first));
        Self { port, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes what becomes of connections.
    pub(crate) fn set(&self, state: State) {
        self.shared.state.store(code(state), Ordering::SeqCst);
        for (near, far) in self.shared.pairs.lock().drain(..) {
            if state == State::Garbage {
                // The end of a packet may have to come before the garbage is seen as such.
                let mut near = &near;
                let _gone = near.set_nonblocking(true).and_then(|()| near.write_all(&garbage()));
            }
            let _gone = near.shutdown(Shutdown::Both);
            let _gone = far.shutdown(Shutdown::Both);
        }
        // By then nobody listens any more, or somebody does.
        wait::pass(5 * TICK);
    }
}

impl Shared {
    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::SeqCst) == code(state)
    }

    fn run(&self, port: u16, to: SocketAddr, first: TcpListener) {
        let mut listener = Some(first);
        loop {
            if self.is(State::Shut) {
                listener = None;
                wait::pass(TICK);
                continue;
            }
            let open = listener.get_or_insert_with(|| listen(port));
            match open.accept() {
                Ok((near, _)) if self.is(State::Garbage) => {
                    let mut near = near;
                    let _gone =
                        near.set_nonblocking(false).and_then(|()| near.write_all(&garbage()));
                }
                Ok((near, _)) => self.join(near, to),
                Err(_) => wait::pass(TICK),
            }
        }
    }

    fn join(&self, near: TcpStream, to: SocketAddr) {
        let Ok(far) = TcpStream::connect(to) else { return };
        for stream in [&near, &far] {
            let _kept = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        }
        let ends = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
        let (Some((a, b)), Some((c, d))) = (ends(), ends()) else { return };
        self.pairs.lock().push((near, far));
        std::thread::spawn(move || copy(a, b));
        std::thread::spawn(move || copy(d, c));
    }
}

fn code(state: State) -> u8 {
    match state {
        State::Open => 0,
        State::Shut => 1,
        State::Garbage => 2,
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the gate's port");
    listener.set_nonblocking(true).expect("a listening socket");
    listener
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 65_536];
    while let Ok(length) = from.read(&mut chunk) {
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Both);
    let _gone = from.shutdown(Shutdown::Both);
}

/// Bytes of which no message begins, longer than any header may be.
fn garbage() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..40_000).map(byte).filter(|byte| *byte != b'$').collect()
}
