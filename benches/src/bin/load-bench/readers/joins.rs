//! Readers that join those that play.

use std::time::Duration;

use anyhow::Result;
use benches::clock;

use super::connect::Connection;
use super::{Readers, SETTLE};
use crate::measured::{Joined, Spread};
use crate::options::{Joins, ReadersOptions};

/// What each round's PLAYs are spread over.
const ROUND: Duration = Duration::from_secs(1);

impl Readers {
    /// Lets readers join the first stream within a second, and leave; so many times.
    pub(super) fn join(
        &mut self,
        url: &str,
        options: &ReadersOptions,
        joins: Joins,
    ) -> Result<Joined> {
        let others = self.list.len();
        let before = self.gaps();
        let (mut times, mut lost) = (Vec::new(), 0);
        for _ in 0..joins.rounds {
            for _ in 0..joins.count {
                self.add(0, Connection::set_up(url, options.over, options.joined)?)?;
                self.pump(clock::mono(), |_| false)?;
            }
            self.play_from(others, ROUND)?;
            self.wait_for_keys(others)?;
            // They catch up to the live point, which is where something may get lost.
            self.pump(clock::mono() + SETTLE, |_| false)?;
            for mut reader in self.list.drain(others..) {
                lost += reader.tally.gaps + reader.tally.repeated;
                times.extend(reader.tally.first_key.map(|time| time.as_secs_f64() * 1e3));
                // Its sockets are closed with it, which takes them out of the epoll as well.
                reader.connection.tear_down()?;
            }
        }
        Ok(Joined { first_key: Spread::of(times), lost: lost + self.gaps() - before })
    }

    fn gaps(&self) -> u64 {
        self.list.iter().map(|reader| reader.tally.gaps).sum()
    }
}
