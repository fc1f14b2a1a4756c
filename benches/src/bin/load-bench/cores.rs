//! Which cores programs run on while they are measured.

use std::marker::PhantomData;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::cases::Case;

/// What a run does about cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// Programs are bound to these, in the cases that are to be.
    To(Cores),
    /// There is one core for all, and nothing to choose.
    OneCore,
    /// The scheduler chooses, because that is wanted or because nothing can be bound.
    Unbound,
}

impl Binding {
    /// Looks at what this thread may use, and says so if that cannot be shared out.
    pub(crate) fn new(unbound: bool) -> Self {
        match Cores::choose() {
            Ok(None) => Self::OneCore,
            _ if unbound => Self::Unbound,
            Ok(Some(cores)) => Self::To(cores),
            Err(error) => {
                eprintln!("programs are not bound to cores: {error:#}");
                Self::Unbound
            }
        }
    }

    /// Where the programs of a case are bound to, if they are.
    pub(crate) fn cores(self, case: &Case) -> Option<Cores> {
        match self {
            Self::To(cores) if case.is_to_be_bound() => Some(cores),
            _ => None,
        }
    }

    /// Whether the programs of a case are bound; `None` where there is nothing to bind.
    pub(crate) fn is_bound(self, case: &Case) -> Option<bool> {
        (self != Self::OneCore && case.is_to_be_bound()).then(|| self.cores(case).is_some())
    }
}

/// The cores of a case's programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cores {
    /// Of what is measured: the proxy, the bare loop.
    pub(crate) measured: usize,
    /// Of those who make the load: camera and readers.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two that this thread may use, after a try; `None` where there is only one.
    fn choose() -> Result<Option<Self>> {
        let Some(cores) = Self::among(&allowed()?) else { return Ok(None) };
        for core in [cores.measured, cores.load] {
            drop(Bound::to(core)?);
        }
        Ok(Some(cores))
    }

    fn among(allowed: &CpuSet) -> Option<Self> {
        let mut cores = numbers(allowed);
        Some(Self { measured: cores.next()?, load: cores.next()? })
    }
}

/// Keeps the calling thread, and whatever it starts meanwhile, on one core. It may use those from
/// before again when this is dropped; what it started stays where it is.
#[must_use]
#[derive(Debug)]
pub(crate) struct Bound {
    before: CpuSet,
    /// Another thread would change its own cores by dropping it.
    _thread: PhantomData<*const ()>,
}

impl Bound {
    pub(crate) fn to(core: usize) -> Result<Self> {
        let before = allowed()?;
        let mut only = CpuSet::new();
        only.set(core)
            .and_then(|()| sched_setaffinity(THIS_THREAD, &only))
            .with_context(|| format!("cannot bind to core {core}"))?;
        Ok(Self { before, _thread: PhantomData })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(THIS_THREAD, &self.before) {
            eprintln!("what is started from now on stays on one core: {error}");
        }
    }
}

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores that the calling thread may use.
fn allowed() -> Result<CpuSet> {
    sched_getaffinity(THIS_THREAD).context("cannot tell the cores that may be used")
}

/// The numbers of the cores in a set, from the lowest on.
fn numbers(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cases;
    use crate::options::RunOptions;

    /// The cores that the calling thread may use.
    pub(crate) fn usable() -> Vec<usize> {
        numbers(&allowed().unwrap()).collect()
    }

    fn set(cores: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core).unwrap());
        set
    }

    #[test]
    fn the_first_two_of_the_cores_that_may_be_used_are_taken() {
        assert_eq!(Cores::among(&set(&[2, 5, 7])), Some(Cores { measured: 2, load: 5 }));
        assert_eq!(Cores::among(&set(&[3])), None);
        assert_eq!(Cores::among(&set(&[])), None);
    }

    #[test]
    fn a_thread_that_was_bound_may_use_the_same_cores_after_as_before() {
        let before = usable();
        for core in &before {
            let bound = Bound::to(*core).unwrap();
            assert_eq!(usable(), [*core]);
            drop(bound);
            assert_eq!(usable(), before);
        }
        Bound::to(CpuSet::count()).unwrap_err();
        assert_eq!(usable(), before, "there is no such core");
    }

    #[test]
    fn other_threads_keep_their_cores() {
        let (before, (go, wait)) = (usable(), std::sync::mpsc::sync_channel::<()>(0));
        let other = std::thread::spawn(move || {
            wait.recv().unwrap();
            usable()
        });
        let bound = Bound::to(before[0]).unwrap();
        go.send(()).unwrap();
        assert_eq!(other.join().unwrap(), before);
        drop(bound);
    }

    #[test]
    fn with_one_core_there_is_nothing_to_bind() {
        let case = &cases::chosen(&RunOptions::default())[0];
        assert!(case.is_to_be_bound());
        let bound = Bound::to(usable()[0]).unwrap();
        for unbound in [false, true] {
            let binding = Binding::new(unbound);
            assert_eq!(binding, Binding::OneCore);
            assert_eq!((binding.cores(case), binding.is_bound(case)), (None, None));
        }
        drop(bound);
    }

    #[test]
    fn programs_are_bound_where_there_are_two_cores_and_it_is_not_refused() {
        let expected = match usable().as_slice() {
            &[measured, load, ..] => Binding::To(Cores { measured, load }),
            _ => Binding::OneCore,
        };
        assert_eq!(Binding::new(false), expected);
        let unbound = match expected {
            Binding::To(_) => Binding::Unbound,
            other => other,
        };
        assert_eq!(Binding::new(true), unbound);
    }

    #[test]
    fn a_case_is_bound_only_if_it_is_to_be() {
        let cores = Cores { measured: 0, load: 1 };
        for case in cases::chosen(&RunOptions::default()) {
            let is_to_be = case.is_to_be_bound();
            let (bound, unbound) = (Binding::To(cores), Binding::Unbound);
            assert_eq!(bound.cores(&case), is_to_be.then_some(cores));
            assert_eq!(bound.is_bound(&case), is_to_be.then_some(true));
            assert_eq!(unbound.cores(&case), None);
            assert_eq!(unbound.is_bound(&case), is_to_be.then_some(false));
        }
    }
}
