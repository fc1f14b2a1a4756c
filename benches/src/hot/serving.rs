//! Serving readers, without the kernel: a frame of 14 packets to nobody, which is what the log
//! alone costs, to one and to a hundred.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use fan_out::{Form, Push, Start, TrackId, WireBatchBuilder};
use rtp_rtcp::{RtpTime, Ssrc};

use super::rtp::FIRST;
use super::{Path, Work, work};
use crate::clock;
use crate::packets::{Frames, OTHER_FRAME};
use crate::stage::{Batches, FRAME, Stage};

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("fan-out/build batch", "packet", || build(Form::Plain)),
        Path::new("fan-out/build batch, interleaved", "packet", || build(Form::Interleaved)),
        Path::new("fan-out/interleave batch", "packet", interleave),
        Path::new("fan-out/publish", "batch", || serve(0, 0)),
        Path::new("fan-out/UDP, 1 reader", "reader", || serve(1, 0)),
        Path::new("fan-out/UDP, 100 readers", "reader", || serve(100, 0)),
        Path::new("fan-out/TCP, 1 reader", "reader", || serve(0, 1)),
        Path::new("fan-out/TCP, 100 readers", "reader", || serve(0, 100)),
        Path::new("fan-out/TCP, beginning at once", "packet", begin),
    ]
}

fn build(form: Form) -> Box<dyn Work> {
    let now = clock::fixed();
    let packets = Frames::new().frame(OTHER_FRAME, false);
    let mut builder = WireBatchBuilder::new(TrackId(0));
    builder.set_form(form);
    let mut next = FIRST;
    work(
        || None,
        move |built| {
            for packet in &packets {
                assert_eq!(builder.push(packet, next, RtpTime(9), Ssrc(1)), Push::Added);
                next = next.next();
            }
            *built = builder.finish(now);
            built.as_ref().map_or(0, |batch| batch.len() as u64)
        },
    )
}

fn interleave() -> Box<dyn Work> {
    let now = clock::fixed();
    let packets = Frames::new().frame(OTHER_FRAME, false);
    let prepare = move || {
        let mut builder = WireBatchBuilder::new(TrackId(0));
        let mut next = FIRST;
        for packet in &packets {
            assert_eq!(builder.push(packet, next, RtpTime(9), Ssrc(1)), Push::Added);
            next = next.next();
        }
        builder.finish(now).expect("packets were pushed")
    };
    work(prepare, |batch| {
        let longer = batch.interleaved().len() - batch.image_len();
        (longer / fan_out::FRAME_HEADER_BYTES) as u64
    })
}

/// One batch after the other, each given to all readers before the next one comes.
fn serve(udp: usize, tcp: usize) -> Box<dyn Work> {
    let mut now = clock::fixed();
    let form = if udp == 0 { Form::Interleaved } else { Form::Plain };
    let (mut stage, mut batches) = (Stage::new(now, udp, tcp), Batches::new(form));
    // What readers are given before media.
    stage.serve_udp(now);
    stage.serve_tcp(now);
    let mut at = now;
    let prepare = move || {
        at += FRAME;
        batches.next(at)
    };
    work(prepare, move |batch| {
        now += FRAME;
        stage.publish(now, Arc::clone(batch));
        let served = black_box(stage.serve_udp(now).bytes + stage.serve_tcp(now).bytes);
        if udp + tcp == 0 { 1 } else { served / batch.image_len() as u64 }
    })
}

/// A reader that begins with a key frame of a second ago: all since then is written for it alone.
fn begin() -> Box<dyn Work> {
    const FRAMES: u32 = 25;
    let mut now = clock::fixed();
    let (mut stage, mut batches) = (Stage::new(now, 0, 0), Batches::new(Form::Interleaved));
    let (mut bytes, mut packets) = (0, 0);
    for _ in 0..FRAMES {
        let batch = batches.next(now);
        bytes += batch.interleaved().len();
        packets += batch.len();
        stage.publish(now, batch);
        now += FRAME;
    }
    let stage = Rc::new(RefCell::new(stage));
    let shared = Rc::clone(&stage);
    let mut reader = None;
    let prepare = move || {
        let mut stage = shared.borrow_mut();
        if let Some(reader) = reader.take() {
            stage.leave(reader);
        }
        reader = Some(stage.join_tcp(now, Start::Instant));
    };
    work(prepare, move |()| {
        let served = stage.borrow_mut().serve_tcp(now);
        // The prologue is beside the media.
        if served.bytes >= bytes as u64 { packets as u64 } else { 0 }
    })
}
