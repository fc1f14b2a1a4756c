//! What happens to readers when something happens to the backend: a matrix of faults, each with its
//! own bound.

mod backend;
mod changes;
mod direct;
mod gate;
mod network;
mod outage;
mod players;
mod restarts;
mod returns;
mod stage;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use backend::CameraProcess;
pub use witness::Witness;

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// What is done to the backend.
    pub deed: &'static str,
    /// What is promised.
    pub bound: &'static str,
    /// Whether it is quick enough for every run of the tests.
    pub is_short: bool,
    run: fn() -> Outcome,
}

/// What came of a row.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// What was measured.
    pub figures: Vec<String>,
    /// What is not as promised.
    pub wrong: Vec<String>,
    /// Why the row could not be run here.
    pub skipped: Option<String>,
}

impl Outcome {
    /// It cannot be tried here.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    /// Notes a figure.
    pub(crate) fn figure(&mut self, text: impl Into<String>) {
        self.figures.push(text.into());
    }

    /// Notes what is wrong.
    pub(crate) fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    /// Notes how long something took; it is wrong if that is longer than `bound`, or for ever.
    pub(crate) fn timed(&mut self, what: &str, took: Option<Duration>, bound: Duration) {
        let figure = format!("{what} {} (allowed: {})", seconds(took), seconds(Some(bound)));
        if took.is_none_or(|took| took > bound) {
            self.wrong(figure.clone());
        }
        self.figure(figure);
    }

    /// Whether the promise was kept, or nothing can be said of it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Every row there is.
#[must_use]
pub fn rows() -> Vec<Row> {
    [returns::ROWS, network::ROWS, changes::ROWS, restarts::ROWS, outage::ROWS].concat()
}

impl Row {
    /// Runs it.
    #[must_use]
    pub fn run(&self) -> Outcome {
        // A helper that fails says so by a panic: that is no reason not to run the other rows.
        catch_unwind(AssertUnwindSafe(self.run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let mut outcome = Outcome::default();
            outcome.wrong(text.unwrap_or("it panicked").to_owned());
            outcome
        })
    }
}

/// The rows that were run and what came of them, as a table in Markdown.
#[must_use]
pub fn table(run: &[(Row, Outcome)]) -> String {
    let mut out =
        String::from("| fault | what was done | promised | measured | |\n|---|---|---|---|---|\n");
    for (row, outcome) in run {
        let verdict = match (&outcome.skipped, outcome.is_good()) {
            (Some(_), _) => "skipped",
            (None, true) => "ok",
            (None, false) => "**NOT OK**",
        };
        let measured = match &outcome.skipped {
            Some(why) => format!("not here: {why}"),
            None => outcome.figures.join("; "),
        };
        out +=
            &format!("| {} | {} | {} | {measured} | {verdict} |\n", row.name, row.deed, row.bound);
    }
    out
}

/// A time for people.
pub(crate) fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: fn() -> Outcome) -> Row {
        Row { name: "a", deed: "b", bound: "c", is_short: true, run }
    }

    #[test]
    fn a_bound_that_is_broken_a_row_that_panics_and_one_that_cannot_be_run_are_told_apart() {
        let late = row(|| {
            let mut outcome = Outcome::default();
            outcome.timed(
                "it came after",
                Some(Duration::from_millis(2_500)),
                Duration::from_secs(2),
            );
            outcome
        });
        let broken = row(|| panic!("no camera"));
        let absent = row(|| Outcome::skipped("no network namespaces"));
        let run = [late, broken, absent].map(|row| (row, row.run()));
        assert_eq!(run[0].1.wrong, ["it came after 2.50 s (allowed: 2.00 s)"]);
        assert_eq!(run[1].1.wrong, ["no camera"]);
        assert!(run[2].1.is_good());
        let table = table(&run);
        assert!(
            table.contains("| a | b | c | it came after 2.50 s (allowed: 2.00 s) | **NOT OK** |"),
            "{table}"
        );
        assert!(table.contains("| not here: no network namespaces | skipped |"), "{table}");
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<_> = rows().iter().map(|row| row.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
