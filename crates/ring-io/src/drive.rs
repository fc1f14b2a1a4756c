//! Entering the kernel until everything is completed, whatever it says in between.

use std::io;

/// What a ring's kernel side does.
pub(crate) trait Kernel {
    /// Submits what is queued and waits for so many completions (`io_uring_enter(2)`).
    fn enter(&mut self, completions: usize) -> io::Result<usize>;
    /// Entries that are queued and that the kernel has not taken.
    fn not_taken(&mut self) -> usize;
    /// Takes the completions that are there: the entries' numbers and results.
    fn completed(&mut self, each: impl FnMut(u64, i32));
}

/// Why not everything was completed.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The kernel refused, and has completed all that it has taken: it reads nothing any more.
    Idle(io::Error),
    /// It cannot be waited for, and something it has taken is not completed.
    UnderWay,
}

/// How often the kernel may be too busy without anything getting done.
const FRUITLESS: u32 = 64;

/// Has `offered` entries that are queued completed, one call of `done` for each.
pub(crate) fn drive(
    kernel: &mut impl Kernel,
    offered: usize,
    mut done: impl FnMut(u64, i32),
) -> Result<(), Stopped> {
    let mut completed = 0;
    let mut fruitless = 0;
    while completed < offered {
        let (before, left_before) = (completed, kernel.not_taken());
        let entered = kernel.enter(offered - completed);
        kernel.completed(|number, result| {
            completed += 1;
            done(number, result);
        });
        if completed >= offered {
            break;
        }
        let not_taken = kernel.not_taken();
        if completed > before || not_taken < left_before {
            fruitless = 0;
            continue;
        }
        let is_under_way = completed + not_taken < offered;
        fruitless += 1;
        match entered {
            // A signal came. It says nothing of the ring, and may come as often as it likes.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => fruitless -= 1,
            // Too little memory for now, or completions that had to be taken first. While something
            // is under way there is nothing but to go on.
            Err(error) if is_passing(&error) && (is_under_way || fruitless < FRUITLESS) => {}
            Ok(_) if is_under_way || fruitless < FRUITLESS => {}
            Err(_) if is_under_way => return Err(Stopped::UnderWay),
            Err(error) => return Err(Stopped::Idle(error)),
            Ok(_) => return Err(Stopped::Idle(io::ErrorKind::Other.into())),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// One answer to a call of `enter`.
    struct Step {
        takes: usize,
        completes: usize,
        says: Option<i32>,
    }

    struct Scripted {
        steps: VecDeque<Step>,
        queued: usize,
        under_way: usize,
        ready: usize,
        calls: u32,
    }

    impl Scripted {
        fn new(
            queued: usize,
            steps: impl IntoIterator<Item = (usize, usize, Option<i32>)>,
        ) -> Self {
            let steps =
                steps.into_iter().map(|(takes, completes, says)| Step { takes, completes, says });
            Self { steps: steps.collect(), queued, under_way: 0, ready: 0, calls: 0 }
        }
    }

    impl Kernel for Scripted {
        fn enter(&mut self, completions: usize) -> io::Result<usize> {
            assert!(completions > 0 && completions <= self.queued + self.under_way + self.ready);
            self.calls += 1;
            // The last step goes on for ever.
            let (takes, completes, says) = match (self.steps.len(), self.steps.front()) {
                (_, None) => panic!("entered once too often"),
                (_, Some(step)) => (step.takes, step.completes, step.says),
            };
            if self.steps.len() > 1 {
                self.steps.pop_front();
            }
            self.queued -= takes;
            self.under_way = self.under_way + takes - completes;
            self.ready += completes;
            says.map_or(Ok(takes), |errno| Err(io::Error::from_raw_os_error(errno)))
        }

        fn not_taken(&mut self) -> usize {
            self.queued
        }

        fn completed(&mut self, mut each: impl FnMut(u64, i32)) {
            for number in 0..std::mem::take(&mut self.ready) {
                each(number as u64, 7);
            }
        }
    }

    fn driven(offered: usize, kernel: &mut Scripted) -> (usize, Result<(), Stopped>) {
        let mut done = 0;
        let result = drive(kernel, offered, |_, _| done += 1);
        (done, result)
    }

    #[test]
    fn usually_one_call_does_it() {
        let mut kernel = Scripted::new(3, [(3, 3, None)]);
        assert!(matches!(driven(3, &mut kernel), (3, Ok(()))));
        assert_eq!(kernel.calls, 1);
        assert!(matches!(driven(0, &mut Scripted::new(0, [])), (0, Ok(()))));
    }

    #[test]
    fn what_is_taken_late_or_completed_late_is_waited_for() {
        let busy = Some(libc::EBUSY);
        let steps = [(2, 1, None), (0, 0, Some(libc::EINTR)), (0, 0, busy), (1, 0, None)];
        let mut kernel = Scripted::new(3, steps.into_iter().chain([(0, 2, None)]));
        assert!(matches!(driven(3, &mut kernel), (3, Ok(()))));
        assert_eq!(kernel.calls, 5);
    }

    #[test]
    fn signals_are_never_too_many() {
        let signals = std::iter::repeat_n((0, 0, Some(libc::EINTR)), 1000);
        let mut kernel = Scripted::new(2, signals.chain([(2, 2, None)]));
        assert!(matches!(driven(2, &mut kernel), (2, Ok(()))));
    }

    #[test]
    fn a_kernel_that_takes_nothing_is_given_up() {
        for says in [Some(libc::EAGAIN), Some(libc::EBADFD), None] {
            let mut kernel = Scripted::new(2, [(0, 0, says)]);
            let (done, result) = driven(2, &mut kernel);
            assert!(done == 0 && matches!(result, Err(Stopped::Idle(_))));
        }
        // With what it has completed before it stopped.
        let mut kernel = Scripted::new(3, [(2, 2, None), (0, 0, Some(libc::EPERM))]);
        assert!(matches!(driven(3, &mut kernel), (2, Err(Stopped::Idle(_)))));
    }

    #[test]
    fn nothing_is_given_up_while_the_kernel_may_read_it() {
        let again = std::iter::repeat_n((0, 0, Some(libc::EAGAIN)), 1000);
        let steps = [(1, 0, None)].into_iter().chain(again).chain([(0, 1, None)]);
        let mut kernel = Scripted::new(1, steps);
        assert!(matches!(driven(1, &mut kernel), (1, Ok(()))));
        let mut kernel = Scripted::new(2, [(1, 0, None), (0, 0, Some(libc::EBADFD))]);
        assert!(matches!(driven(2, &mut kernel), (0, Err(Stopped::UnderWay))));
    }
}
