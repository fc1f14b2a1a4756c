//! What becomes of readers when something happens to the backend: the fault matrix, and what needs
//! more than one backend or more than one run of it.

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

#[test]
fn the_most_telling_faults_are_survived() {
    run(|row| row.is_short);
}

#[test]
#[ignore = "takes ten minutes"]
fn every_fault_is_survived() {
    run(|row| !row.is_short);
}
