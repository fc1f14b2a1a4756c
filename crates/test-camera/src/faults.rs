//! The faults that are in force.

use std::collections::HashMap;
use std::time::Duration;

use crate::fault::{Clock, Fault, Method, Target, Track};
use crate::media::ParameterSet;

/// What is wrong at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    streams: Vec<StreamFaults>,
    refused: HashMap<Method, (u16, bool)>,
    delays: HashMap<Method, Duration>,
    ignored: Vec<Method>,
    pub(crate) reorder: u32,
    pub(crate) drop: u32,
    pub(crate) no_pause: bool,
    pub(crate) no_udp: bool,
    pub(crate) udp_silent: bool,
    /// Overrides of the options.
    pub(crate) timeout: Option<Duration>,
    pub(crate) enforce_timeout: Option<bool>,
    pub(crate) set: ParameterSet,
    pub(crate) wall_step: i64,
    pub(crate) no_reports: bool,
    pub(crate) clock: Clock,
    pub(crate) jump: i64,
}

#[derive(Clone, Debug, Default)]
struct StreamFaults {
    stopped: bool,
    silent_video: bool,
    silent_audio: bool,
}

impl Faults {
    pub(crate) fn new(streams: usize) -> Self {
        Self { streams: vec![StreamFaults::default(); streams], ..Self::default() }
    }

    /// Takes note of a fault that lasts; those that are done once change nothing here.
    pub(crate) fn apply(&mut self, fault: &Fault) {
        match *fault {
            Fault::StopSending(target) => self.each(target, |stream| stream.stopped = true),
            Fault::Resume(target) => self.each(target, |stream| stream.stopped = false),
            Fault::Silence { target, track, silent } => self.each(target, |stream| match track {
                Track::Video => stream.silent_video = silent,
                Track::Audio => stream.silent_audio = silent,
            }),
            Fault::Refuse { method, status, once } => {
                self.refused.insert(method, (status, once));
            }
            Fault::Accept(method) => {
                self.refused.remove(&method);
            }
            Fault::Delay { method, delay } => {
                self.delays.insert(method, delay);
            }
            Fault::Ignore { method, ignored } => {
                self.ignored.retain(|&other| other != method);
                if ignored {
                    self.ignored.push(method);
                }
            }
            Fault::Reorder(every) => self.reorder = every,
            Fault::Drop(every) => self.drop = every,
            Fault::NoPause(on) => self.no_pause = on,
            Fault::NoUdp(on) => self.no_udp = on,
            Fault::UdpSilent(on) => self.udp_silent = on,
            Fault::Timeout(timeout) => self.timeout = Some(timeout),
            Fault::EnforceTimeout(on) => self.enforce_timeout = Some(on),
            Fault::ParameterSets => self.set = self.set.other(),
            Fault::WallClock(step) => self.wall_step = step,
            Fault::SenderReports(on) => self.no_reports = !on,
            Fault::Clock(clock) => self.clock = clock,
            Fault::ClockJump(by) => self.jump = by,
            Fault::Clear => *self = Self { set: self.set, ..Self::new(self.streams.len()) },
            Fault::Close(_) | Fault::EndSessions(_) | Fault::Bye { .. } => {}
        }
    }

    fn each(&mut self, target: Target, change: impl Fn(&mut StreamFaults)) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if target.includes(index) {
                change(stream);
            }
        }
    }

    /// Whether a stream sends neither media nor reports.
    pub(crate) fn stopped(&self, stream: usize) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.stopped)
    }

    /// Whether a track's media is not sent.
    pub(crate) fn silent(&self, stream: usize, track: Track) -> bool {
        self.streams.get(stream).is_some_and(|stream| {
            stream.stopped
                || match track {
                    Track::Video => stream.silent_video,
                    Track::Audio => stream.silent_audio,
                }
        })
    }

    /// The status with which the next request of this method is refused; a refusal that counts
    /// once is used up by it.
    pub(crate) fn take_refusal(&mut self, method: Method) -> Option<u16> {
        let (status, once) = *self.refused.get(&method)?;
        if once {
            self.refused.remove(&method);
        }
        Some(status)
    }

    pub(crate) fn delay(&self, method: Method) -> Option<Duration> {
        self.delays.get(&method).copied().filter(|delay| !delay.is_zero())
    }

    pub(crate) fn ignored(&self, method: Method) -> bool {
        self.ignored.contains(&method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_once_is_used_up_and_another_stays() {
        let mut faults = Faults::new(1);
        faults.apply(&Fault::Refuse { method: Method::Setup, status: 461, once: true });
        faults.apply(&Fault::Refuse { method: Method::Describe, status: 404, once: false });
        assert_eq!(faults.take_refusal(Method::Setup), Some(461));
        assert_eq!(faults.take_refusal(Method::Setup), None);
        assert_eq!(faults.take_refusal(Method::Describe), Some(404));
        assert_eq!(faults.take_refusal(Method::Describe), Some(404));
        faults.apply(&Fault::Accept(Method::Describe));
        assert_eq!(faults.take_refusal(Method::Describe), None);
    }

    #[test]
    fn one_stream_stops_and_all_are_cleared() {
        let mut faults = Faults::new(3);
        faults.apply(&Fault::StopSending(Target::All));
        faults.apply(&Fault::Resume(Target::Stream(1)));
        assert!(faults.stopped(0) && !faults.stopped(1) && faults.stopped(2));
        faults.apply(&Fault::Silence {
            target: Target::Stream(1),
            track: Track::Video,
            silent: true,
        });
        assert!(faults.silent(1, Track::Video) && !faults.silent(1, Track::Audio));
        faults.apply(&Fault::StopSending(Target::Stream(99)));
        faults.apply(&Fault::Clear);
        assert!(!faults.silent(0, Track::Audio) && !faults.silent(1, Track::Video));
    }
}
