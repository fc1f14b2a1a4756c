//! Runs one hot path, for valgrind to count its instructions: `counts` lists them, `counts NAME`
//! runs that one.
//!
//! Counted is what happens inside [`counted_instructions`], which `cargo xtask bench --counts` tells
//! valgrind by its name.

use anyhow::{Context as _, Result, bail};
use benches::hot::{self, Work};

/// How often the path is walked.
const RUNS: u32 = 8;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for path in hot::all() {
            println!("{}\t{}", path.name, path.unit);
        }
        return Ok(());
    };
    let path = hot::all().into_iter().find(|path| path.name == name);
    let mut work = path.with_context(|| format!("there is no path `{name}`"))?.make();
    let mut units = 0;
    for _ in 0..RUNS {
        work.prepare();
        units += counted_instructions(work.as_mut());
    }
    if units == 0 {
        bail!("{name} did nothing");
    }
    println!("{units}");
    Ok(())
}

/// One run.
#[inline(never)]
fn counted_instructions(work: &mut dyn Work) -> u64 {
    // Not the last thing it does, or the call would be a jump that valgrind does not see return.
    std::hint::black_box(work.run())
}
