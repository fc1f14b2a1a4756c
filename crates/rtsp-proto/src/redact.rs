use crate::user_info::Authority;

/// A message as it may stand in a log: the values of `Authorization` headers, the credentials in
/// URLs, what passes for a password in a query and the keys in a description are blanked; lines
/// end with `\n`, other control characters are escaped; a body is kept if it is text, up to 8 KiB.
pub fn redact(message: &[u8]) -> String {
    let (head, body) = split_body(message);
    let mut out = redact_text(&blank_headers(&String::from_utf8_lossy(head)));
    if body.is_empty() {
        return out;
    }
    out.push('\n');
    let shown = body.get(..MAX_BODY_SHOWN).unwrap_or(body);
    let is_text = |b: &u8| *b >= b' ' || matches!(b, b'\r' | b'\n' | b'\t');
    if shown.iter().all(is_text) {
        out.push_str(&redact_text(&blank_keys(&String::from_utf8_lossy(shown))));
        if shown.len() < body.len() {
            out.push_str(&format!("({} bytes more)\n", body.len() - shown.len()));
        }
    } else {
        out.push_str(&format!("({} bytes)\n", body.len()));
    }
    out
}

/// Blanks the credentials in all URLs of a text, and passwords in their queries.
pub(crate) fn redact_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        push_clean(&mut out, before);
        let (url, after) = url.split_at(url_end(url));
        push_clean(&mut out, without_credentials(url).0);
        push_clean(&mut out, without_credentials(url).1);
        rest = after;
    }
    push_clean(&mut out, rest);
    blank_passwords(&out)
}

/// Up to the blank, the quote or the next URL of a list.
fn url_end(text: &str) -> usize {
    let scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let url = match text.find("://").and_then(|next| text.get(..next)) {
        Some(url) => url.trim_end_matches(scheme),
        None => text,
    };
    url.find(|c: char| c.is_whitespace() || "\"<>".contains(c)).unwrap_or(url.len())
}

/// What stands for the user information, and what follows it.
fn without_credentials(url: &str) -> (&'static str, &str) {
    let user_info = match Authority::parse(url) {
        Ok(authority) => authority.user_info.map(str::len),
        // Not a place one can go to, but perhaps a password all the same.
        Err(_) => url.rfind('@'),
    };
    match user_info.and_then(|len| url.get(len + 1..)) {
        Some(rest) => ("***@", rest),
        None => ("", url),
    }
}

fn blank_headers(head: &str) -> String {
    let mut out = String::with_capacity(head.len());
    let mut hidden = false;
    for line in head.lines() {
        let folded = line.starts_with([' ', '\t']);
        if folded && hidden {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let secret = |known: &&str| name.trim().eq_ignore_ascii_case(known);
        hidden = !folded && ["Authorization", "Proxy-Authorization"].iter().any(secret);
        if hidden {
            let scheme = value.split_whitespace().next().unwrap_or_default();
            let known = ["Basic", "Digest"].into_iter().find(|s| scheme.eq_ignore_ascii_case(s));
            out.push_str(name);
            out.push_str(": ");
            out.push_str(known.unwrap_or_default());
            out.push_str(" ***");
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// The media keys in a description.
fn blank_keys(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    for line in body.lines() {
        let known = ["k=", "a=crypto:", "a=key-mgmt:"].into_iter().find(|k| line.starts_with(k));
        match known {
            Some(start) => {
                out.push_str(start);
                out.push_str("***");
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// `password=...` and its like, up to what ends a parameter.
fn blank_passwords(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices('=') {
        let (Some(before), Some(value)) = (lower.get(done..at), text.get(at + 1..)) else {
            continue;
        };
        let named = |name: &&str| {
            before.strip_suffix(*name).is_some_and(|rest| rest.ends_with(['?', '&', ';', '/', '_']))
        };
        if !PASSWORDS.iter().any(named) {
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "&;/?#\"<>".contains(c);
        let end = at + 1 + value.find(ends).unwrap_or(value.len());
        out.push_str(text.get(done..=at).unwrap_or_default());
        out.push_str("***");
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

fn push_clean(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// The head with its empty line, and the body.
fn split_body(message: &[u8]) -> (&[u8], &[u8]) {
    let mut line_is_empty = false;
    for (at, byte) in message.iter().enumerate() {
        match byte {
            b'\n' if line_is_empty => return message.split_at(at + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    (message, &[])
}

/// How much of a body is shown, in bytes.
const MAX_BODY_SHOWN: usize = 8 * 1024;
const PASSWORDS: [&str; 8] =
    ["password", "passwd", "pass", "pwd", "auth", "token", "secret", "credential"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_secret_is_left_in_a_request() {
        let message =
            b"DESCRIBE rtsp://root:hunter2@cam/live?a=b&PassWord=hunter2&x=y RTSP/1.0\r\n\
            CSeq: 2\r\n\
            authorization : Digest username=\"root\",\r\n nonce=\"hunter2\"\r\n\
            Authorization: Basic hunter2\r\n\
            Proxy-Authorization: hunter2\r\n\
            User-Agent: x\r\n\r\n";
        let expected = "DESCRIBE rtsp://***@cam/live?a=b&PassWord=***&x=y RTSP/1.0\n\
            CSeq: 2\n\
            authorization : Digest ***\n\
            Authorization: Basic ***\n\
            Proxy-Authorization:  ***\n\
            User-Agent: x\n\n";
        assert_eq!(redact(message), expected);
    }

    #[test]
    fn bodies_are_shown_without_their_keys() {
        let message = b"RTSP/1.0 200 OK\r\n\r\nv=0\r\na=control:rtsp://u:p/w@h/t\r\nk=clear:x\r\n\
            a=crypto:1 AES inline:x\r\n";
        let expected = "RTSP/1.0 200 OK\n\n\nv=0\na=control:rtsp://***@h/t\nk=***\na=crypto:***\n";
        assert_eq!(redact(message), expected);
        assert_eq!(redact(b"X\n\n\0\x01"), "X\n\n\n(2 bytes)\n");
    }

    #[test]
    fn a_long_body_is_cut() {
        let message = [b"X\n\n".as_slice(), &[b'a'; MAX_BODY_SHOWN + 7]].concat();
        let text = redact(&message);
        assert!(text.ends_with("a\n(7 bytes more)\n"));
        assert!(text.len() < MAX_BODY_SHOWN + 64);
    }

    #[test]
    fn each_url_of_a_list_is_blanked() {
        assert_eq!(
            redact_text("url=rtsp://u:a@h/1;seq=1,url=rtsps://u:b@h/2 \"http://c:d@e\""),
            "url=rtsp://***@h/1;seq=1,url=rtsps://***@h/2 \"http://***@e\"",
        );
        assert_eq!(redact_text("rtsp://u:p@h*st/x"), "rtsp://***@h*st/x");
        assert_eq!(redact_text("rtsp://h/user=a_password=b_c&d"), "rtsp://h/user=a_password=***&d");
        assert_eq!(redact_text("password=a"), "password=a");
    }

    proptest! {
        #[test]
        fn a_log_has_no_control_characters(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = redact(&message);
            prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }

        #[test]
        fn a_password_never_gets_into_a_log(noise in "[@:/#?%a ]{0,6}") {
            let url = format!("rtsp://u:{noise}hunter2@cam/x");
            prop_assert!(!redact_text(&url.replace(' ', "")).contains("hunter2"));
        }
    }
}
