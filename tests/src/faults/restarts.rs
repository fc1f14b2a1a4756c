//! A server of another make that is killed and started again, and players of every kind that are to
//! miss nothing of what it sends.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::backend::GstServer;
use crate::faults::returns::BACK;
use crate::faults::stage::Readers;
use crate::faults::witness::Witness;
use crate::faults::{Outcome, Row};
use crate::frames::{Sums, parse_framemd5};
use crate::media::{H264_AAC, SECONDS};
use crate::process::Process;
use crate::programs;
use crate::proxy::{Proxy, free_port};
use crate::reader::{Over, gst_lines};
use crate::wait;

/// How long a run lasts, once it has begun; the clip is longer.
const RUN: Duration = Duration::from_millis(3_500);
/// How many pictures of it are seen at least, and how far key frames are apart.
const LEAST: usize = 60;
const KEYS: usize = 25;
/// How long a start of anything may take.
const START: Duration = Duration::from_secs(30);
/// And the end of a player.
const END: Duration = Duration::from_secs(10);

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "two restarts",
        deed: "gst-rtsp-server is killed and started again twice; ffmpeg and GStreamer over UDP and \
               TCP, each copying and decoding",
        bound: "no connection is closed; each player gets every access unit of each run from its \
                first key frame on",
        is_short: true,
        run: || restarts(2, 1, "tcp"),
    },
    Row {
        name: "ten restarts",
        deed: "the same ten times, with five players of each kind",
        bound: "the same",
        is_short: false,
        run: || restarts(10, 5, "auto"),
    },
];

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Program {
    Ffmpeg,
    Gstreamer,
}

/// What a player does: with what, and whether it decodes.
type Kind = (Program, bool);

fn start((program, decodes): Kind, url: &str, over: Over) -> Process {
    match program {
        Program::Ffmpeg => {
            let mut command = Command::new("ffmpeg");
            command.args(["-hide_banner", "-loglevel", "error", "-nostats"]);
            command.args(["-rtsp_transport", over.as_str(), "-i", url, "-map", "0:v"]);
            let how = if decodes { "rawvideo" } else { "copy" };
            command.args(["-c:v", how, "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
            Process::start("ffmpeg", &mut command)
        }
        Program::Gstreamer => {
            let protocols = if over == Over::Udp { "udp+tcp" } else { "tcp" };
            let mut command = programs::gst_play(&[], url, protocols, 200);
            command.args([
                "rtph264depay",
                "name=video",
                "!",
                "video/x-h264,stream-format=avc,alignment=au",
                "!",
            ]);
            if decodes {
                command.args(["avdec_h264", "!"]);
            }
            command.args(["checksumsink", "hash=md5", "sync=false"]);
            Process::start("GStreamer", &mut command)
        }
    }
}

/// Ends a player; the checksums of all it got.
fn finish((program, _): Kind, mut process: Process) -> Sums {
    process.signal(Signal::SIGINT);
    // GStreamer now and then waits for itself for ever as it ends; what it got it has told by then.
    if process.wait(END).is_none() {
        process.signal(Signal::SIGKILL);
        assert!(process.wait(END).is_some(), "{program:?} does not end: {process:?}");
    }
    let _ended = process.stdout().wait_for(START, |_| false);
    match program {
        Program::Ffmpeg => {
            let sums = parse_framemd5(&process.stdout().all().join("\n"));
            sums.into_values().next().unwrap_or_default()
        }
        Program::Gstreamer => gst_lines(&process),
    }
}

/// What a player of each kind gets from the server itself.
fn direct(url: &str) -> HashMap<Kind, HashMap<String, usize>> {
    let programs = [Program::Ffmpeg, Program::Gstreamer];
    let kinds = programs.into_iter().flat_map(|program| [(program, false), (program, true)]);
    let players: Vec<_> = kinds.map(|kind| (kind, start(kind, url, Over::Tcp))).collect();
    wait::pass(Duration::from_secs(SECONDS as u64 + 3));
    let numbered = |(kind, process)| {
        let sums = finish(kind, process).into_iter();
        (kind, sums.enumerate().map(|(number, sum)| (sum, number)).collect())
    };
    players.into_iter().map(numbered).collect()
}

/// The last picture of each run that a player saw.
///
/// # Errors
/// What it did not see.
fn runs(sums: &[String], known: &HashMap<String, usize>) -> Result<Vec<usize>, String> {
    let mut ends = Vec::new();
    let mut last: Option<usize> = None;
    let mut torn = 0;
    for (place, sum) in sums.iter().enumerate() {
        match (known.get(sum).copied(), last) {
            (Some(number), None) if number % KEYS == 0 => last = Some(number),
            (Some(0), Some(end)) => {
                ends.push(end);
                (last, torn) = (Some(0), 0);
            }
            (Some(number), Some(end)) if number == end + 1 && torn == 0 => last = Some(number),
            // A server that is killed may leave half a picture behind.
            (None, Some(_)) if torn == 0 => torn = 1,
            (number, _) => return Err(format!("{number:?} after {last:?} at {place}")),
        }
    }
    ends.extend(last);
    Ok(ends)
}

fn restarts(times: usize, each: usize, transport: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let port = free_port();
    let mut server = GstServer::start_on(port, &[H264_AAC]);
    let direct = direct(&server.url(H264_AAC));
    if let Some((kind, known)) = direct.iter().find(|(_, known)| known.len() + 2 < SECONDS * 25) {
        outcome.wrong(format!("{kind:?} sees {} pictures of the server itself", known.len()));
        return outcome;
    }
    let source = server.url(H264_AAC);
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{source}\"\ntransport = \"{transport}\"\n"
    ));
    proxy.wait_described("cam");
    let url = proxy.url("cam");
    // The clip ends before all players are there: who comes first is held while it begins anew.
    let witnesses = [Over::Udp, Over::Tcp].map(|over| Witness::play(&url, over, &[1, 2]));
    let mut players = Vec::new();
    for over in [Over::Udp, Over::Tcp] {
        for program in [Program::Ffmpeg, Program::Gstreamer] {
            // At least one copies and one decodes.
            for number in 0..each.max(2) {
                let kind = (program, number == 0);
                players.push((kind, over, start(kind, &url, over)));
            }
        }
    }
    let wanted = witnesses.len() + players.len();
    let all = wait::until(START, || Readers::of(&proxy).began >= wanted);
    assert!(all, "{:?} of {wanted} play:\n{}", Readers::of(&proxy), proxy.log());
    let settled = Readers::of(&proxy);

    let mut slowest = Duration::ZERO;
    // The first of them ends a run of which some saw the end only.
    for _ in 0..=times {
        drop(server);
        server = GstServer::start_on(port, &[H264_AAC]);
        let well = wait::now();
        wait::until(START, || witnesses.iter().all(|w| w.first_after(well).is_some()));
        let first: Option<Vec<_>> = witnesses.iter().map(|w| w.first_after(well)).collect();
        let Some(first) = first.and_then(|times| times.into_iter().max()) else {
            outcome.wrong(format!("nothing comes after a restart:\n{}", proxy.log()));
            return outcome;
        };
        slowest = slowest.max(first - well);
        wait::pass(RUN.saturating_sub(wait::now() - first));
    }
    outcome.timed("first packet after at most", Some(slowest), BACK);
    if Readers::of(&proxy) != settled || settled.ended != 0 {
        outcome.wrong(format!("readers: {settled:?}, then {:?}", Readers::of(&proxy)));
    }
    for witness in witnesses {
        witness.finish().into_iter().for_each(|what| outcome.wrong(what));
    }
    let mut seen = Vec::new();
    for (kind, over, process) in players {
        let sums = finish(kind, process);
        match runs(&sums, &direct[&kind]) {
            Ok(ends) => seen.push((kind, over, ends)),
            Err(why) => outcome.wrong(format!("{kind:?} over {over:?}: {why}")),
        }
    }
    // All see the same of the runs that all saw whole: the last one ends as each is ended.
    let common = |ends: &[usize]| {
        let begin = ends.len().saturating_sub(times + 1);
        ends.get(begin..ends.len().saturating_sub(1)).unwrap_or_default().to_vec()
    };
    let units: usize = seen.iter().flat_map(|(_, _, ends)| common(ends)).map(|end| end + 1).sum();
    let first = seen.iter().map(|(_, _, ends)| common(ends)).next().unwrap_or_default();
    if first.len() != times || first.iter().any(|end| *end < LEAST) {
        outcome.wrong(format!("runs end with the pictures {first:?}"));
    }
    for (kind, over, ends) in &seen {
        if common(ends) != first {
            outcome.wrong(format!("{kind:?} over {over:?}: {ends:?}, but the first {first:?}"));
        }
    }
    outcome.figure(format!("{} players, {units} access units, none missing", seen.len()));
    if !outcome.is_good() {
        outcome.figures.pop();
        outcome.wrong(format!("the proxy's log:\n{}", proxy.log()));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Result<Vec<usize>, String> {
        let known =
            ('a'..='z').enumerate().map(|(number, sum)| (sum.to_string(), number)).collect();
        runs(&text.chars().map(String::from).collect::<Vec<_>>(), &known)
    }

    #[test]
    fn runs_are_told_apart_and_nothing_may_be_missing_within_one() {
        assert_eq!(ends("abcdabcab"), Ok(vec![3, 2, 1]));
        assert_eq!(ends("zabc?ab"), Ok(vec![25, 2, 1]));
        assert!(ends("abdab").is_err());
        assert!(ends("abc?dab").is_err());
        assert!(ends("bcab").is_err());
    }
}
