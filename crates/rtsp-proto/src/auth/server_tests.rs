use proptest::prelude::*;

use super::*;
use crate::auth::{Challenge, ClientAuth, Credentials, parse_challenges};

#[expect(clippy::disallowed_methods, reason = "tests count from any instant")]
fn origin() -> Instant {
    Instant::now()
}

fn server() -> ServerAuth {
    let users = vec![
        ("anna".to_owned(), Secret::new("sesame")),
        ("b\"ob\\".to_owned(), Secret::new("p\u{e4}ss")),
    ];
    ServerAuth::new("the \"proxy\"", users, 42)
}

/// A client that has been challenged with one of the two challenges.
fn client(
    server: &ServerAuth,
    now: Instant,
    user: &str,
    password: &str,
    which: usize,
) -> ClientAuth {
    let challenges = server.challenges(now);
    let mut client = ClientAuth::new(Credentials::new(user, password), 1);
    let _ = client.on_challenge(&parse_challenges([&*challenges[which]]));
    client
}

fn ok(user: &str) -> AuthVerdict {
    AuthVerdict::Ok { user: user.to_owned() }
}

const URI: &str = "rtsp://proxy:8554/cam";

#[test]
fn both_challenges_can_be_answered() {
    let (server, t0) = (server(), origin());
    for which in [0, 1] {
        let mut client = client(&server, t0, "anna", "sesame", which);
        let answer = client.authorize(&Method::Describe, URI);
        assert_eq!(server.check(t0, &Method::Describe, URI, answer.as_deref()), ok("anna"));
        let again = client.authorize(&Method::Play, URI);
        assert_eq!(server.check(t0, &Method::Play, URI, again.as_deref()), ok("anna"));
    }
}

#[test]
fn the_last_challenge_is_one_that_any_player_can_read() {
    let (server, t0) = (server(), origin());
    let challenges = server.challenges(t0);
    assert!(challenges[0].ends_with(", algorithm=SHA-256, qop=\"auth\""));
    let rest = challenges[1].strip_prefix("Digest realm=\"the proxy\", nonce=\"").unwrap();
    assert!(rest.strip_suffix('"').unwrap().bytes().all(|b| b.is_ascii_hexdigit()));
    assert!(server.stale_challenges(t0)[1].ends_with("\", stale=true"));
}

#[test]
fn names_with_quotes_and_passwords_beyond_ascii_work() {
    let (server, t0) = (server(), origin());
    let mut client = client(&server, t0, "b\"ob\\", "p\u{e4}ss", 0);
    let answer = client.authorize(&Method::Setup, URI);
    assert_eq!(server.check(t0, &Method::Setup, URI, answer.as_deref()), ok("b\"ob\\"));
}

#[test]
fn a_wrong_password_name_method_or_uri_is_wrong() {
    let (server, t0) = (server(), origin());
    for (user, password) in [("anna", "Sesame"), ("Anna", "sesame"), ("", ""), ("eve", "")] {
        let mut client = client(&server, t0, user, password, 1);
        let answer = client.authorize(&Method::Play, URI);
        let verdict = server.check(t0, &Method::Play, URI, answer.as_deref());
        assert_eq!(verdict, AuthVerdict::Wrong, "{user}");
    }
    let mut client = client(&server, t0, "anna", "sesame", 1);
    let answer = client.authorize(&Method::Play, URI);
    let check = |method, uri| server.check(t0, &method, uri, answer.as_deref());
    assert_eq!(check(Method::Teardown, URI), AuthVerdict::Wrong);
    assert_eq!(check(Method::Play, "rtsp://proxy:8554/camera"), AuthVerdict::Wrong);
    assert_eq!(check(Method::Play, "rtsp://proxy:8554/cam/track1"), ok("anna"));
}

#[test]
fn proof_covers_the_tracks_of_a_presentation() {
    assert!(covers("rtsp://a/cam/", "rtsp://a:554/cam/track1?x=y"));
    assert!(covers("/cam", "rtsp://a/cam"));
    assert!(covers("rtsp://a/cam?x=y", "rtsp://a/cam/track1"));
    assert!(covers("*", "*"));
    assert!(!covers("rtsp://a/cam/track1", "rtsp://a/cam"));
    assert!(!covers("rtsp://a/", "rtsp://a/cam"));
    assert!(!covers("", "rtsp://a/cam"));
    assert!(!covers("rtsp://a/cam", "rtsp://a/cam2"));
}

#[test]
fn unquoted_and_strangely_ordered_answers_are_read() {
    let (server, t0) = (server(), origin());
    let mut client = client(&server, t0, "anna", "sesame", 1);
    let answer = client.authorize(&Method::Play, "/cam").unwrap();
    let mut parts: Vec<_> = answer.strip_prefix("Digest ").unwrap().split(", ").collect();
    parts.reverse();
    let other = format!("digest {}", parts.join(",").replace('"', ""));
    assert_eq!(server.check(t0, &Method::Play, URI, Some(&other)), ok("anna"));
    let upper = answer.replace("response=\"", "algorithm=md5,response=\"");
    assert_eq!(server.check(t0, &Method::Play, URI, Some(&upper)), ok("anna"));
}

#[test]
fn a_nonce_lasts_its_lifetime_and_no_longer() {
    let lifetime = Duration::from_secs(30);
    let (server, t0) = (server().with_nonce_lifetime(lifetime), origin());
    let mut client = client(&server, t0, "anna", "sesame", 0);
    let answer = client.authorize(&Method::Play, URI);
    let check = |now| server.check(now, &Method::Play, URI, answer.as_deref());
    assert_eq!(check(t0 + lifetime), ok("anna"));
    assert_eq!(check(t0 + lifetime + Duration::from_millis(1)), AuthVerdict::Stale);
}

#[test]
fn only_a_right_answer_is_called_stale() {
    let t0 = origin();
    let elsewhere = ServerAuth::new("the proxy", Vec::new(), 43);
    for (password, verdict) in [("sesame", AuthVerdict::Stale), ("other", AuthVerdict::Wrong)] {
        let mut client = client(&elsewhere, t0, "anna", password, 0);
        let answer = client.authorize(&Method::Play, URI);
        assert_eq!(server().check(t0, &Method::Play, URI, answer.as_deref()), verdict);
    }
}

#[test]
fn a_stale_answer_makes_a_client_try_again() {
    let (server, t0) = (server(), origin());
    let later = t0 + Duration::from_secs(3600);
    let mut client = client(&server, t0, "anna", "sesame", 0);
    let answer = client.authorize(&Method::Play, URI);
    assert_eq!(server.check(later, &Method::Play, URI, answer.as_deref()), AuthVerdict::Stale);
    let challenges = parse_challenges(server.stale_challenges(later).iter().map(String::as_str));
    assert!(challenges.iter().all(|c| matches!(c, Challenge::Digest(digest) if digest.stale)));
    assert_eq!(client.on_challenge(&challenges), crate::auth::ChallengeVerdict::Retry);
    let answer = client.authorize(&Method::Play, URI);
    assert_eq!(server.check(later, &Method::Play, URI, answer.as_deref()), ok("anna"));
}

#[test]
fn what_is_not_digest_is_wrong_and_nothing_is_missing() {
    let (server, t0) = (server(), origin());
    let check = |text| server.check(t0, &Method::Play, URI, text);
    assert_eq!(check(None), AuthVerdict::Missing);
    for text in ["", "Digest", "Basic YW5uYTpzZXNhbWU=", "Digest username=\"anna\"", "\"", "=,="] {
        assert_eq!(check(Some(text)), AuthVerdict::Wrong, "{text}");
    }
}

#[test]
fn nobody_is_let_in_where_there_are_no_users() {
    let (server, t0) = (ServerAuth::new("r", Vec::new(), 1), origin());
    let mut client = client(&server, t0, "", "", 0);
    let answer = client.authorize(&Method::Play, URI);
    assert_eq!(server.check(t0, &Method::Play, URI, answer.as_deref()), AuthVerdict::Wrong);
}

#[test]
fn the_seal_is_that_of_rfc_4231() {
    let seal = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    assert_eq!(hex(&seal), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

#[test]
fn debugging_output_has_no_secrets() {
    let shown = format!("{:?}", server());
    assert!(!shown.contains("sesame") && !shown.contains("000000000000002a"), "{shown}");
}

proptest! {
    #[test]
    fn a_forged_nonce_is_never_fresh(made in any::<u64>(), seal in any::<[u8; 16]>()) {
        let (server, t0) = (server(), origin());
        let _ = server.challenges(t0);
        let forged = hex(&[made.to_be_bytes().as_slice(), &seal].concat());
        prop_assert!(!server.is_fresh(t0, &forged));
    }

    #[test]
    fn arbitrary_credentials_are_wrong(text in "(Digest )?[a-z=,\" \\\\\u{e4}]{0,60}") {
        let verdict = server().check(origin(), &Method::Play, URI, Some(&text));
        prop_assert_eq!(verdict, AuthVerdict::Wrong);
    }
}
