/// The headers of a message, in the order they came; names compare without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, String)>);

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All with this name.
    pub fn get_all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'a str> + use<'a, 'n> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Adds one behind the others.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Removes all with this name; whether there were any.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// All, as name and value.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends to the value of the last one.
    pub(crate) fn continue_last(&mut self, more: &str) -> bool {
        let Some((_, value)) = self.0.last_mut() else { return false };
        if !value.is_empty() && !more.is_empty() {
            value.push(' ');
        }
        value.push_str(more);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_order_is_kept() {
        let mut headers = Headers::new();
        headers.push("CSeq", "1");
        headers.push("WWW-Authenticate", "Digest");
        headers.push("www-authenticate", "Basic");
        assert_eq!(headers.get("cseq"), Some("1"));
        let both: Vec<_> = headers.get_all("Www-Authenticate").collect();
        assert_eq!(both, ["Digest", "Basic"]);
        assert!(headers.remove("WWW-AUTHENTICATE"));
        assert!(!headers.remove("WWW-AUTHENTICATE"));
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("CSeq", "1")]);
    }
}
