use super::*;
use crate::auth::parse_challenges;

fn auth() -> ClientAuth {
    ClientAuth::new(Credentials::new("Mufasa", "Circle Of Life"), 7)
}

fn challenged(auth: &mut ClientAuth, values: &[&str]) -> ChallengeVerdict {
    auth.on_challenge(&parse_challenges(values.iter().copied()))
}

fn answer(auth: &mut ClientAuth) -> String {
    auth.authorize(&Method::Describe, "rtsp://cam/x").unwrap_or_default()
}

#[test]
fn nothing_is_shown_before_it_is_asked_for() {
    let mut auth = auth();
    assert_eq!(auth.authorize(&Method::Options, "*"), None);
    assert_eq!(challenged(&mut auth, &["Basic realm=\"x\""]), ChallengeVerdict::Retry);
    assert_eq!(answer(&mut auth), "Basic TXVmYXNhOkNpcmNsZSBPZiBMaWZl");
}

#[test]
fn an_old_challenge_gets_an_old_answer() {
    let mut auth = auth();
    let asked = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
    assert_eq!(challenged(&mut auth, &[asked]), ChallengeVerdict::Retry);
    let get = Method::Other("GET".into());
    assert_eq!(
        auth.authorize(&get, "/dir/index.html").as_deref(),
        Some(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
             response=\"670fd8c2df070c60b045671b8b24ff02\""
        ),
    );
}

#[test]
fn the_strongest_challenge_is_answered() {
    let mut auth = auth();
    let md5 = "Digest realm=\"r\", nonce=\"1\", qop=\"auth\"";
    let sha = "Digest realm=\"r\", nonce=\"2\", qop=\"auth\", algorithm=SHA-256, opaque=\"o\"";
    let asked = ["Basic realm=\"r\"", md5, "Digest realm=\"r\", nonce=\"3\", algorithm=X", sha];
    assert_eq!(challenged(&mut auth, &asked), ChallengeVerdict::Retry);
    let first = answer(&mut auth);
    assert!(first.contains("nonce=\"2\""), "{first}");
    assert!(first.contains(", opaque=\"o\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\""));
    assert!(answer(&mut auth).contains("nc=00000002"));
}

#[test]
fn sha_512_256_goes_before_sha_256() {
    let mut auth = auth();
    let asked = ["SHA-256", "SHA-512-256", "MD5"]
        .map(|algorithm| format!("Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}"));
    assert_eq!(challenged(&mut auth, &[&asked.join(", ")]), ChallengeVerdict::Retry);
    assert!(answer(&mut auth).ends_with("algorithm=SHA-512-256"));
}

#[test]
fn credentials_refused_with_the_same_nonce_are_wrong() {
    let mut auth = auth();
    let asked = ["Digest realm=\"r\", nonce=\"1\""];
    assert_eq!(challenged(&mut auth, &asked), ChallengeVerdict::Retry);
    answer(&mut auth);
    assert_eq!(challenged(&mut auth, &asked), ChallengeVerdict::Rejected);
}

#[test]
fn credentials_are_shown_at_most_twice_however_nonces_change() {
    let mut auth = auth();
    let mut shown = 0;
    for nonce in 0..10 {
        let asked = format!("Digest realm=\"r\", nonce=\"{nonce}\"");
        if challenged(&mut auth, &[&asked]) == ChallengeVerdict::Rejected {
            break;
        }
        answer(&mut auth);
        shown += 1;
    }
    assert_eq!(shown, 2);
}

#[test]
fn a_nonce_that_ran_out_is_replaced_even_if_it_is_not_called_stale() {
    let mut auth = auth();
    for nonce in 0..10 {
        let asked = format!("Digest realm=\"r\", nonce=\"{nonce}\"");
        assert_eq!(challenged(&mut auth, &[&asked]), ChallengeVerdict::Retry);
        assert!(answer(&mut auth).contains(&format!("nonce=\"{nonce}\"")));
        auth.on_accepted();
    }
}

#[test]
fn a_nonce_cannot_be_stale_for_ever() {
    let mut auth = auth();
    let asked = ["Digest realm=\"r\", nonce=\"1\", stale=true"];
    let mut shown = 0;
    while challenged(&mut auth, &asked) == ChallengeVerdict::Retry {
        answer(&mut auth);
        shown += 1;
        assert!(shown < 100);
    }
    assert_eq!(shown, 1 + MAX_STALE);
}

#[test]
fn a_challenge_that_crosses_an_unauthorized_request_is_no_refusal() {
    let mut auth = auth();
    assert_eq!(challenged(&mut auth, &["Basic realm=\"x\""]), ChallengeVerdict::Retry);
    assert_eq!(challenged(&mut auth, &["Basic realm=\"x\""]), ChallengeVerdict::Retry);
    answer(&mut auth);
    assert_eq!(challenged(&mut auth, &["Basic realm=\"x\""]), ChallengeVerdict::Rejected);
}

#[test]
fn an_unknown_scheme_is_not_answered() {
    let mut auth = auth();
    assert_eq!(challenged(&mut auth, &["Negotiate"]), ChallengeVerdict::Unsupported);
    assert_eq!(challenged(&mut auth, &[]), ChallengeVerdict::Unsupported);
    assert_eq!(auth.authorize(&Method::Describe, "x"), None);
}

#[test]
fn a_name_with_quotes_stays_between_its_quotes() {
    let mut auth = ClientAuth::new(Credentials::new("a\"b\\c", "p"), 7);
    assert_eq!(
        challenged(&mut auth, &["Digest realm=\"r\", nonce=\"1\""]),
        ChallengeVerdict::Retry
    );
    assert!(answer(&mut auth).starts_with("Digest username=\"a\\\"b\\\\c\", realm=\"r\""));
}

#[test]
fn client_nonces_differ_by_seed_and_by_nonce() {
    assert_ne!(cnonce(1, 1), cnonce(1, 2));
    assert_ne!(cnonce(1, 1), cnonce(2, 1));
    assert_eq!(cnonce(1, 1).len(), 16);
}

#[test]
fn debugging_output_has_no_password() {
    let mut auth = auth();
    assert_eq!(challenged(&mut auth, &["Basic realm=\"x\""]), ChallengeVerdict::Retry);
    assert!(!format!("{auth:?}").contains("Circle"));
}

#[test]
fn a_nonce_that_is_given_for_the_next_request_is_used_for_it() {
    let mut auth = ClientAuth::new(Credentials::new("u", "p"), 1);
    let challenge = "Digest realm=\"r\", nonce=\"one\", qop=\"auth\"";
    assert_eq!(auth.on_challenge(&parse_challenges([challenge])), ChallengeVerdict::Retry);
    let mut shown = || auth.authorize(&Method::Play, "rtsp://h/").unwrap();
    assert!(shown().contains("nonce=\"one\"") && shown().contains("nc=00000002"));
    auth.on_info("qop=auth, nextnonce=\"two\", rspauth=\"x\"");
    let next = auth.authorize(&Method::Play, "rtsp://h/").unwrap();
    assert!(next.contains("nonce=\"two\"") && next.contains("nc=00000001"), "{next}");
    auth.on_info("nextnonce=\"\"");
    auth.on_info("nextnonce=\"two\"");
    let next = auth.authorize(&Method::Play, "rtsp://h/").unwrap();
    assert!(next.contains("nonce=\"two\"") && next.contains("nc=00000002"), "{next}");
}
