//! What backends think of the credentials that several streams have in common: cameras and recorders
//! lock an account that is tried with a wrong password too often, whichever stream does it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rtsp_proto::auth::Credentials;

/// Rejections by one host, all streams together, after which nobody shows it the same again.
const REJECTIONS: u32 = 2;
/// Accounts that are remembered; of more those that are not locked are forgotten.
const MAX_ACCOUNTS: usize = 4_096;

/// A user's password at a host, by a number that tells neither.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Account(u64);

#[derive(Clone, Copy, Default, Debug)]
struct Standing {
    /// Some stream was let in: what is refused to others is a matter of their paths.
    accepted: bool,
    rejections: u32,
    until: Option<Instant>,
}

/// All accounts in use, shared by all shards.
#[derive(Clone, Default, Debug)]
pub(crate) struct Accounts {
    hasher: RandomState,
    all: Arc<Mutex<HashMap<Account, Standing>>>,
}

impl Accounts {
    /// The account of these credentials at a host; behind another port another camera may be.
    pub(crate) fn of(&self, host: &str, port: u16, credentials: &Credentials) -> Account {
        let (user, password) = (&credentials.user, credentials.password.expose());
        Account(self.hasher.hash_one((host.to_ascii_lowercase(), port, user, password)))
    }

    /// Until when the host is not to be shown it.
    pub(crate) fn locked_until(&self, now: Instant, account: Account) -> Option<Instant> {
        let until = self.all.lock().get(&account)?.until;
        until.filter(|until| *until > now)
    }

    /// A stream was let in with it.
    pub(crate) fn accepted(&self, account: Account) {
        let standing = Standing { accepted: true, ..Standing::default() };
        self.note(account, |known| *known = standing);
    }

    /// It was rejected so many times more. With the second time it is locked for `pause`.
    pub(crate) fn rejected(&self, now: Instant, account: Account, times: u32, pause: Duration) {
        self.note(account, |known| {
            known.rejections = known.rejections.saturating_add(times);
            if !known.accepted && known.rejections >= REJECTIONS {
                known.until = now.checked_add(pause);
            }
        });
    }

    fn note(&self, account: Account, change: impl FnOnce(&mut Standing)) {
        let mut all = self.all.lock();
        if all.len() >= MAX_ACCOUNTS && !all.contains_key(&account) {
            all.retain(|_, standing| standing.until.is_some());
            if all.len() >= MAX_ACCOUNTS {
                return;
            }
        }
        change(all.entry(account).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(300);

    fn account(accounts: &Accounts, host: &str, password: &str) -> Account {
        accounts.of(host, 554, &Credentials::new("anna", password))
    }

    #[test]
    fn what_was_rejected_twice_is_shown_to_nobody_for_a_while() {
        let (accounts, now) = (Accounts::default(), crate::clock::now().mono);
        let (wrong, other) = (account(&accounts, "nvr", "a"), account(&accounts, "nvr", "b"));
        assert_eq!(wrong, account(&accounts, "NVR", "a"));
        accounts.rejected(now, wrong, 1, PAUSE);
        assert_eq!(accounts.locked_until(now, wrong), None);
        accounts.rejected(now, wrong, 1, PAUSE);
        assert_eq!(accounts.locked_until(now, wrong), Some(now + PAUSE));
        assert_eq!(accounts.locked_until(now, other), None);
        assert_eq!(accounts.locked_until(now, account(&accounts, "other", "a")), None);
        // Then it is tried once.
        assert_eq!(accounts.locked_until(now + PAUSE, wrong), None);
        accounts.rejected(now + PAUSE, wrong, 1, PAUSE);
        assert_eq!(accounts.locked_until(now + PAUSE, wrong), Some(now + 2 * PAUSE));
        accounts.accepted(wrong);
        assert_eq!(accounts.locked_until(now + PAUSE, wrong), None);
    }

    #[test]
    fn who_was_let_in_anywhere_is_not_locked_out_for_one_path() {
        let (accounts, now) = (Accounts::default(), crate::clock::now().mono);
        let right = account(&accounts, "nvr", "a");
        accounts.accepted(right);
        accounts.rejected(now, right, 5, PAUSE);
        assert_eq!(accounts.locked_until(now, right), None);
    }

    #[test]
    fn no_more_accounts_are_remembered_than_is_said() {
        let (accounts, now) = (Accounts::default(), crate::clock::now().mono);
        for number in 0..2 * MAX_ACCOUNTS {
            let account = account(&accounts, "nvr", &number.to_string());
            accounts.rejected(now, account, 1 + u32::from(number % 3 == 0), PAUSE);
        }
        assert!(accounts.all.lock().len() <= MAX_ACCOUNTS);
    }
}
