//! Readers that play and do not read: they cost next to nothing, and what is sent to them is counted
//! where the kernel drops it.

use std::time::Duration;

use anyhow::{Result, ensure};
use benches::clock;
use socket2::SockRef;

use super::connect::Path;
use super::{FIRST_KEY, Readers};
use crate::kernel;
use crate::measured::{Measured, Unread};

/// The kernel gives its least for it: room for a datagram or two.
const LEAST_BUFFER: usize = 1;
/// From one look at the sockets to the next.
const LOOK: Duration = Duration::from_millis(100);

impl Readers {
    /// From now on datagrams stay in sockets that take as few as the kernel lets them.
    pub(super) fn stop_reading(&self) -> Result<()> {
        for reader in &self.list {
            if let Path::Datagrams { rtp, .. } = &reader.connection.path {
                self.epoll.delete(rtp.socket())?;
                SockRef::from(rtp.socket()).set_recv_buffer_size(LEAST_BUFFER)?;
            }
        }
        Ok(())
    }

    /// Waits until datagrams have been dropped at every socket: all that come from then on are.
    pub(super) fn wait_until_full(&mut self) -> Result<()> {
        let (ports, until) = (self.ports(), clock::mono() + FIRST_KEY);
        loop {
            let dropped = kernel::dropped_at(&ports);
            let full = dropped.values().filter(|count| **count > 0).count();
            if full == ports.len() {
                return Ok(());
            }
            ensure!(
                clock::mono() < until,
                "nothing comes to {} readers {} s after PLAY",
                ports.len() - full,
                FIRST_KEY.as_secs()
            );
            self.pump(clock::mono() + LOOK, |_| false)?;
            self.check_answers()?;
        }
    }

    /// Counts what arrives and is dropped within `length`. Segmented messages are taken apart
    /// before that, so these are packets; what the host counts as sent are messages.
    pub(super) fn measure_unread(
        &mut self,
        watch: u32,
        camera: u32,
        length: Duration,
    ) -> Result<Measured> {
        let (ports, me) = (self.ports(), std::process::id());
        // Looking at so many sockets takes its time, the same before and after.
        let (dropped, begin) = (kernel::dropped(&ports), clock::mono());
        let (threads, others) = (kernel::threads(watch)?, kernel::cpu_nanos(camera)?);
        let own = kernel::cpu_nanos(me)?;
        self.pump(begin + length, |_| false)?;
        let dropped = kernel::dropped(&ports).saturating_sub(dropped);
        let seconds = clock::mono().saturating_duration_since(begin).as_secs_f64();
        let own = kernel::cpu_nanos(me)?.saturating_sub(own);
        let camera_nanos = kernel::cpu_nanos(camera)?.saturating_sub(others);
        let (mut threads_nanos, mut waited_nanos) = (Vec::new(), 0);
        for (number, now) in kernel::threads(watch)? {
            let before = threads.get(&number).copied().unwrap_or_default();
            threads_nanos.push(now.ran.saturating_sub(before.ran));
            waited_nanos += now.waited.saturating_sub(before.waited);
        }
        threads_nanos.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Measured {
            seconds,
            packets: dropped,
            dropped_at_sockets: dropped,
            closed: self.list.iter().filter(|reader| reader.is_closed).count(),
            cpu_nanos: threads_nanos.iter().sum(),
            readers_cpu_nanos: own,
            resident: kernel::resident(watch)?,
            unread: Some(Unread { threads_nanos, waited_nanos, camera_nanos }),
            ..Measured::default()
        })
    }
}
