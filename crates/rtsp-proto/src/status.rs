use std::fmt;

/// A status code (RFC 2326 section 11), 100 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl StatusCode {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`.")]
                pub const $name: Self = Self($code);
            )*

            /// The usual reason phrase; for a code without one, that of its class.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..=199 => "Continue",
                    200..=299 => "OK",
                    300..=399 => "Redirection",
                    400..=499 => "Bad Request",
                    500..=599 => "Internal Server Error",
                    _ => "Unknown",
                }
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    CONTINUE = 100 "Continue";
    OK = 200 "OK";
    CREATED = 201 "Created";
    LOW_ON_STORAGE_SPACE = 250 "Low on Storage Space";
    MULTIPLE_CHOICES = 300 "Multiple Choices";
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    FOUND = 302 "Found";
    SEE_OTHER = 303 "See Other";
    NOT_MODIFIED = 304 "Not Modified";
    USE_PROXY = 305 "Use Proxy";
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    PERMANENT_REDIRECT = 308 "Permanent Redirect";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    PAYMENT_REQUIRED = 402 "Payment Required";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    PROXY_AUTHENTICATION_REQUIRED = 407 "Proxy Authentication Required";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    GONE = 410 "Gone";
    LENGTH_REQUIRED = 411 "Length Required";
    PRECONDITION_FAILED = 412 "Precondition Failed";
    REQUEST_ENTITY_TOO_LARGE = 413 "Request Entity Too Large";
    REQUEST_URI_TOO_LARGE = 414 "Request-URI Too Large";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    PARAMETER_NOT_UNDERSTOOD = 451 "Parameter Not Understood";
    CONFERENCE_NOT_FOUND = 452 "Conference Not Found";
    NOT_ENOUGH_BANDWIDTH = 453 "Not Enough Bandwidth";
    SESSION_NOT_FOUND = 454 "Session Not Found";
    METHOD_NOT_VALID_IN_THIS_STATE = 455 "Method Not Valid in This State";
    HEADER_FIELD_NOT_VALID = 456 "Header Field Not Valid for Resource";
    INVALID_RANGE = 457 "Invalid Range";
    PARAMETER_IS_READ_ONLY = 458 "Parameter Is Read-Only";
    AGGREGATE_OPERATION_NOT_ALLOWED = 459 "Aggregate Operation Not Allowed";
    ONLY_AGGREGATE_OPERATION_ALLOWED = 460 "Only Aggregate Operation Allowed";
    UNSUPPORTED_TRANSPORT = 461 "Unsupported Transport";
    DESTINATION_UNREACHABLE = 462 "Destination Unreachable";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    BAD_GATEWAY = 502 "Bad Gateway";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    RTSP_VERSION_NOT_SUPPORTED = 505 "RTSP Version Not Supported";
    OPTION_NOT_SUPPORTED = 551 "Option Not Supported";
}

impl StatusCode {
    /// The same as [`StatusCode::INTERNAL_SERVER_ERROR`].
    pub const INTERNAL: Self = Self::INTERNAL_SERVER_ERROR;

    /// 100 to 199: another response to the same request follows.
    pub fn is_provisional(self) -> bool {
        (100..200).contains(&self.0)
    }

    /// 200 to 299.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// 300 to 399.
    pub fn is_redirect(self) -> bool {
        (300..400).contains(&self.0)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_has_its_own_phrase() {
        for pair in StatusCode::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert_ne!(pair[0].reason(), pair[1].reason());
        }
    }

    #[test]
    fn an_unknown_code_is_taken_for_its_class() {
        assert_eq!(StatusCode(299).reason(), "OK");
        assert!(StatusCode(299).is_success());
        assert_eq!(StatusCode(499).reason(), "Bad Request");
        assert_eq!(StatusCode(999).reason(), "Unknown");
        assert_eq!(StatusCode::SESSION_NOT_FOUND.to_string(), "454 Session Not Found");
    }
}
