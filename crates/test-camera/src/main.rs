//! The test camera as a program: URLs on standard output, faults on standard input.

use std::io::{BufRead as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use test_camera::{
    Auth, AuthScheme, Camera, CameraOptions, Fault, LogEntry, Multicast, Pace, Source, Start,
    Synthetic, TlsIdentity,
};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let arguments = match Arguments::read(&mut words) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("test-camera: {error:#} (see --help)");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("test-camera: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let camera = match arguments.log.as_deref() {
        None => Camera::start(arguments.options)?,
        Some("-") => {
            Camera::start_with_log(arguments.options, |entry: &LogEntry| eprintln!("{entry}"))?
        }
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| format!("--log {path}"))?;
            let file = Mutex::new(file);
            Camera::start_with_log(arguments.options, move |entry: &LogEntry| {
                // A full disk is no reason to stop.
                let _ = writeln!(file.lock(), "{entry}");
            })?
        }
    };
    let mut out = std::io::stdout().lock();
    for url in camera.urls() {
        writeln!(out, "{url}")?;
    }
    out.flush()?;
    drop(out);

    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "" => {}
            "quit" => return Ok(()),
            line => match line.parse::<Fault>() {
                Ok(fault) => camera.fault(fault),
                Err(error) => eprintln!("test-camera: {error}"),
            },
        }
    }
    if !arguments.until_eof {
        // Started in the background: the signal that ends the program is all there is to wait for.
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

/// The command line.
struct Arguments {
    options: CameraOptions,
    log: Option<String>,
    until_eof: bool,
}

impl Arguments {
    /// Reads the words of a command line; `None` if they ask for help.
    fn read(words: &mut impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let mut options = CameraOptions::default();
        let (mut ip, mut port) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let (mut log, mut until_eof) = (None, false);
        let (mut user, mut password, mut qop) = (None, String::new(), false);
        let mut schemes = Vec::new();
        let (mut certificates, mut key, mut specific) = (None, None, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} wants a value"));
            match word.as_str() {
                "-h" | "--help" => return Ok(None),
                "--bind" => ip = parsed(&word, &value()?)?,
                "--port" => port = parsed(&word, &value()?)?,
                "--streams" => options.streams = parsed(&word, &value()?)?,
                "--pace" => options.pace = pace(&value()?)?,
                "--segmented" => options.segmented = true,
                "--source" => options.source = source(&value()?)?,
                "--pictures" => options.pictures = Some(value()?.into()),
                "--replay" => options.replay = Some(value()?.into()),
                "--start" => {
                    options.start = match value()?.as_str() {
                        "now" => Start::Now,
                        "keyframe" => Start::KeyFrame,
                        "beginning" => Start::Beginning,
                        other => bail!("--start: {other:?} is not now, keyframe or beginning"),
                    }
                }
                "--no-audio" => options.audio = false,
                "--age" => options.age = Duration::from_secs(parsed(&word, &value()?)?),
                "--stagger" => options.stagger = true,
                "--no-in-band-sets" => options.in_band_parameter_sets = false,
                "--payload" => options.payload_limit = parsed(&word, &value()?)?,
                "--timeout" => options.timeout = Duration::from_secs(parsed(&word, &value()?)?),
                "--enforce-timeout" => options.enforce_timeout = true,
                "--max-connections" => options.max_connections = parsed(&word, &value()?)?,
                "--user" => user = Some(value()?),
                "--password" => password = value()?,
                "--qop" => qop = true,
                "--auth" => schemes.push(match value()?.as_str() {
                    "basic" => AuthScheme::Basic,
                    "digest" | "digest-md5" => AuthScheme::DigestMd5,
                    "digest-sha256" => AuthScheme::DigestSha256,
                    other => bail!("--auth: {other:?} is not basic, digest or digest-sha256"),
                }),
                "--tls-certificate" => certificates = Some(file(&word, &value()?)?),
                "--tls-key" => key = Some(file(&word, &value()?)?),
                "--tunnel" => options.tunnel = true,
                "--multicast" => {
                    let group: SocketAddr = parsed(&word, &value()?)?;
                    let (group, port) = (group.ip(), group.port());
                    let multicast = Multicast { group, port, ttl: 16, source_specific: false };
                    options.multicast = Some(multicast);
                }
                "--source-specific" => specific = true,
                "--log" => log = Some(value()?),
                "--until-eof" => until_eof = true,
                other => bail!("unknown option {other:?}"),
            }
        }
        options.bind = SocketAddr::new(ip, port);
        options.tls = match (certificates, key) {
            (Some(certificates), Some(key)) => Some(TlsIdentity { certificates, key }),
            (None, None) => None,
            _ => bail!("--tls-certificate and --tls-key go together"),
        };
        if let Some(multicast) = &mut options.multicast {
            multicast.source_specific = specific;
        }
        options.auth = user.map(|user| {
            let mut auth = Auth::new(AuthScheme::DigestMd5, &user, &password);
            auth.qop = qop;
            if !schemes.is_empty() {
                auth.schemes = schemes;
            }
            auth
        });
        Ok(Some(Self { options, log, until_eof }))
    }
}

fn parsed<T: std::str::FromStr>(option: &str, value: &str) -> anyhow::Result<T> {
    value.parse().ok().with_context(|| format!("{option}: {value:?} will not do"))
}

fn file(option: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{option} {path}"))
}

fn pace(text: &str) -> anyhow::Result<Pace> {
    Ok(match text.split_once(':') {
        None if text == "burst" => Pace::Burst,
        None if text == "spread" => Pace::Spread,
        Some(("line", megabits)) => {
            let megabits: f64 = parsed("--pace", megabits)?;
            anyhow::ensure!(megabits.is_finite() && megabits > 0.0, "--pace: a rate above 0");
            Pace::Line(megabits)
        }
        _ => bail!("--pace: {text:?} is not burst, spread or line:MBIT"),
    })
}

fn source(text: &str) -> anyhow::Result<Source> {
    let Some(measures) = text.strip_prefix("synthetic") else {
        anyhow::ensure!(text == "clip", "--source: {text:?} is not clip or synthetic");
        return Ok(Source::Clip);
    };
    let mut synthetic = Synthetic::default();
    for measure in measures.trim_start_matches(':').split(',').filter(|text| !text.is_empty()) {
        let (name, value) = measure.split_once('=').context("--source: NAME=VALUE is wanted")?;
        match name {
            "bitrate" => synthetic.bitrate = parsed("bitrate", value)?,
            "fps" => synthetic.fps = parsed("fps", value)?,
            "gop" => synthetic.gop = parsed("gop", value)?,
            "key" => synthetic.key_frame_bytes = parsed("key", value)?,
            other => bail!("--source: unknown measure {other:?}"),
        }
    }
    Ok(Source::Synthetic(synthetic))
}

const HELP: &str = "\
An RTSP camera made for tests. Its URLs go to standard output, one a line; faults are read from
standard input, one a line (`quit` ends the program).

Usage: test-camera [OPTIONS]

  --bind ADDRESS         address to serve on [127.0.0.1]
  --port PORT            RTSP port, 0 takes a free one [0]
  --streams N            number of streams: /cam, /cam1, ... [1]
  --source SOURCE        clip, or synthetic:bitrate=4000000,fps=25,gop=50,key=60000 [clip]
  --pictures FILE        show an MP4 file's H.264 or H.265 in place of the clip's pictures
  --replay FILE          send the RTP packets of a file (RFC 4571) over and over, as the one
                         beside it that ends with .sdp describes them
  --no-audio             picture only
  --pace PACE            burst, line:MBIT or spread: how a frame's packets are sent [spread]
  --segmented            UDP packets of one size that are due at once leave in one segmented
                         message (GSO): a receiver with GRO gets them joined on loopback
  --start WHERE          now, keyframe or beginning: where a session starts [now]
  --age SECONDS          how long the content has been running at the start [0]
  --stagger              spread the streams' key frames over the key frame interval
  --payload BYTES        largest RTP payload [1400]
  --no-in-band-sets      parameter sets in the description only
  --user NAME            ask for these credentials
  --password PASSWORD
  --auth SCHEME          basic, digest or digest-sha256; may be given more than once [digest]
  --qop                  ask for qop=auth
  --tls-certificate FILE serve rtsps:// with this certificate (PEM), and what is above it
  --tls-key FILE         its private key (PEM)
  --tunnel               understand RTSP over HTTP too
  --multicast GROUP:PORT send to this group if asked for multicast
  --source-specific      name the camera as the group's only sender
  --timeout SECONDS      session timeout announced [60]
  --enforce-timeout      end sessions that show no sign of life for so long
  --max-connections N    further connections are closed at once [512]
  --log FILE             write what happens to a file, or to standard error with -
  --until-eof            stop when standard input ends
  --help

Faults: stop-sending|resume [STREAM]; silence|unsilence [STREAM] video|audio; close [STREAM];
  end-sessions [STREAM]; bye [STREAM] [video|audio]; refuse METHOD STATUS [once]; accept METHOD;
  delay METHOD MILLISECONDS; ignore METHOD; heed METHOD; options-blackhole; reorder N; drop N;
  no-pause; no-udp; udp-silent; enforce-timeout; timeout SECONDS; parameter-sets;
  wall-clock SECONDS; sender-reports on|off; clock right|zero|1970|pair|none|step SECONDS|
  jump SECONDS; clear.   STREAM: cam, cam1, ... or all (default).
";
