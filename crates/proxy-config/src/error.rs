//! What is wrong with a configuration, and where.

use std::fmt;

/// Everything that is wrong with a configuration; at least one problem.
///
/// Written as one line per problem. A secret never appears in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong, written as `FILE:LINE: KEY: what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, counted from 1; `None` if no line can be named.
    pub line: Option<usize>,
    /// The key with its section, such as `limits.connections`; empty for an error of syntax.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl ConfigError {
    /// `None` if nothing is wrong. Problems are put in the order of their lines.
    pub(crate) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.line);
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, in the order of their lines; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)
    }
}
