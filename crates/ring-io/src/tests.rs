//! Against the kernel; where it refuses rings these say so and pass.

use super::*;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

fn ring(sockets: u32) -> Option<Ring> {
    Ring::new(sockets).inspect_err(|error| eprintln!("not tested: {error}")).ok()
}

/// Connections: our ends and the readers'.
fn connections(count: usize) -> io::Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let pairs = (0..count).map(|_| {
        let reader = TcpStream::connect(address)?;
        Ok((listener.accept()?.0, reader))
    });
    let pairs: Vec<_> = pairs.collect::<io::Result<_>>()?;
    Ok(pairs.into_iter().unzip())
}

fn fds(sockets: &[TcpStream]) -> Vec<BorrowedFd<'_>> {
    sockets.iter().map(AsFd::as_fd).collect()
}

fn numbers(results: &[io::Result<usize>]) -> Vec<Option<usize>> {
    results.iter().map(|result| result.as_ref().ok().copied()).collect()
}

#[test]
fn every_socket_gets_all_slices_in_order_though_the_ring_is_smaller() -> io::Result<()> {
    let Some(mut ring) = ring(4) else { return Ok(()) };
    let (ours, mut readers) = connections(11)?;
    let mut results = Vec::new();
    for parts in [&["one "][..], &["two ", "and ", "three "], &["four"]] {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part.as_bytes())).collect();
        let bytes = parts.iter().map(|part| part.len()).sum();
        ring.send_all(&fds(&ours), &slices, &mut results)?;
        assert_eq!(numbers(&results), vec![Some(bytes); 11]);
    }
    drop(ours);
    for reader in &mut readers {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        assert_eq!(text, "one two and three four");
    }
    Ok(())
}

#[test]
fn a_full_socket_says_how_much_it_took_and_holds_up_nobody() -> io::Result<()> {
    let Some(mut ring) = ring(4) else { return Ok(()) };
    let (ours, mut readers) = connections(2)?;
    let block: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut results = Vec::new();
    let mut sent = 0;
    // Their own mode is to wait; that is not what they are asked.
    let last = loop {
        ring.send_all(&fds(&ours[..1]), &[IoSlice::new(&block)], &mut results)?;
        match results.remove(0) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
    };
    assert_eq!(last.kind(), io::ErrorKind::WouldBlock);
    ring.send_all(&fds(&ours), &[IoSlice::new(b"next")], &mut results)?;
    assert_eq!(numbers(&results), [None, Some(4)]);
    drop(ours);
    let mut taken = Vec::new();
    readers[0].read_to_end(&mut taken)?;
    assert_eq!(taken.len(), sent);
    // A partial send took the beginning.
    assert!(taken.chunks(block.len()).all(|part| block.starts_with(part)) || sent > block.len());
    Ok(())
}

#[test]
fn a_reader_that_is_gone_is_an_error_of_its_own_and_no_signal() -> io::Result<()> {
    let Some(mut ring) = ring(4) else { return Ok(()) };
    let (ours, mut readers) = connections(3)?;
    ours[1].shutdown(std::net::Shutdown::Write)?;
    let file = std::fs::File::open("/dev/null")?;
    let mut all = fds(&ours);
    all.push(file.as_fd());
    let mut results = Vec::new();
    ring.send_all(&all, &[IoSlice::new(b"here")], &mut results)?;
    assert_eq!(numbers(&results), [Some(4), None, Some(4), None]);
    let kinds: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    assert_eq!(kinds[0].kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(kinds[1].raw_os_error(), Some(libc::ENOTSOCK));
    let mut text = [0; 4];
    readers[2].read_exact(&mut text)?;
    assert_eq!(&text, b"here");
    Ok(())
}

#[test]
fn a_ring_that_is_gone_tells_of_sockets_that_nothing_was_offered_to() -> io::Result<()> {
    let mut ring = Ring { ring: None, _own_thread: PhantomData };
    let (ours, _readers) = connections(2)?;
    let mut results = Vec::new();
    assert!(ring.send_all(&fds(&ours), &[IoSlice::new(b"x")], &mut results).is_err());
    let is_untried = |result: &io::Result<usize>| {
        result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
    };
    assert!(results.len() == 2 && results.iter().all(is_untried));
    Ok(())
}

#[test]
fn nothing_to_send_and_nobody_to_send_to_are_no_errors() -> io::Result<()> {
    let Some(mut ring) = ring(4) else { return Ok(()) };
    let (ours, _readers) = connections(1)?;
    let mut results = Vec::new();
    ring.send_all(&[], &[IoSlice::new(b"x")], &mut results)?;
    assert!(results.is_empty());
    ring.send_all(&fds(&ours), &[], &mut results)?;
    assert_eq!(numbers(&results), [Some(0)]);
    Ok(())
}
