use std::fmt;

/// A request method (RFC 2326 section 10). Methods are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Section 10.1.
    Options,
    /// Section 10.2.
    Describe,
    /// Section 10.3.
    Announce,
    /// Section 10.4.
    Setup,
    /// Section 10.5.
    Play,
    /// Section 10.6.
    Pause,
    /// Section 10.7.
    Teardown,
    /// Section 10.8.
    GetParameter,
    /// Section 10.9.
    SetParameter,
    /// Section 10.10.
    Redirect,
    /// Section 10.11.
    Record,
    /// "Please proxy me", an extension.
    Register,
    /// The end of [`Method::Register`].
    Deregister,
    /// Any other token.
    Other(Box<str>),
}

impl Method {
    /// Every method with a name of its own.
    pub(crate) const KNOWN: [Self; 13] = [
        Self::Options,
        Self::Describe,
        Self::Announce,
        Self::Setup,
        Self::Play,
        Self::Pause,
        Self::Teardown,
        Self::GetParameter,
        Self::SetParameter,
        Self::Redirect,
        Self::Record,
        Self::Register,
        Self::Deregister,
    ];

    /// The method as it is written on a request line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Redirect => "REDIRECT",
            Self::Record => "RECORD",
            Self::Register => "REGISTER",
            Self::Deregister => "DEREGISTER",
            Self::Other(name) => name,
        }
    }

    /// The method with this name; `None` if it is no token (RFC 2326 section 15.1).
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.as_str() == name) {
            return Some(known);
        }
        crate::text::is_token(name).then(|| Self::Other(name.into()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_is_found_by_its_name() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str()), Some(method));
        }
    }

    #[test]
    fn a_method_is_a_token_and_case_matters() {
        assert_eq!(Method::parse("describe"), Some(Method::Other("describe".into())));
        assert_eq!(Method::parse("GET"), Some(Method::Other("GET".into())));
        assert_eq!(Method::parse(""), None);
        assert_eq!(Method::parse("PLAY IT"), None);
        assert_eq!(Method::parse("PL\u{e4}Y"), None);
    }
}
