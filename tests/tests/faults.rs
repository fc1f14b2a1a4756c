//! What becomes of readers when something happens to the backend: the fault matrix.

use integration_tests::faults::{Row, rows, table};

/// Runs rows one after the other.
fn run(wanted: impl Fn(&Row) -> bool) {
    let run: Vec<_> = rows().into_iter().filter(wanted).map(|row| (row, row.run())).collect();
    assert!(!run.is_empty());
    println!("{}", table(&run));
    let wrong: Vec<_> = run.iter().filter(|(_, outcome)| !outcome.is_good()).collect();
    for (row, outcome) in &wrong {
        println!("{}:\n{}", row.name, outcome.wrong.join("\n"));
    }
    assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|(row, _)| row.name).collect::<Vec<_>>());
}

/// Of those that every run of the tests tries, these take about as long as all others.
const FIRST: [&str; 2] = ["killed, 1 s", "audio gone"];

#[test]
fn readers_outlive_a_camera_that_is_killed_or_are_told_that_it_is_another() {
    run(|row| row.is_short && FIRST.contains(&row.name));
}

#[test]
fn players_miss_nothing_of_a_server_that_is_restarted_or_has_other_parameter_sets() {
    run(|row| row.is_short && !FIRST.contains(&row.name));
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn every_fault_is_survived() {
    run(|row| !row.is_short);
}
