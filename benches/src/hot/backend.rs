//! What the client of a backend does with media on its connection.

use std::hint::black_box;

use backend_client::{BackendClient, Demand, Event, Input, Output, TransportChoice};
use bytes::BytesMut;

use super::{Path, Work, work};
use crate::clock;
use crate::packets::{Frames, OTHER_FRAME, interleaved};
use crate::rig::{options, perform};

pub(super) fn paths() -> Vec<Path> {
    vec![Path::new("backend-client/interleaved packets", "packet", packets)]
}

fn packets() -> Box<dyn Work> {
    let now = clock::fixed_both();
    let mut client = BackendClient::new(now, options(TransportChoice::Tcp), 7);
    let mut inbox = BytesMut::new();
    client.set_demand(now, Demand::Playing);
    while let Some(output) = client.poll_output() {
        perform(output, &mut inbox, |input| client.handle(now, input));
    }
    let mut frames = Frames::new();
    let prepare = move || BytesMut::from(interleaved(&frames.frame(OTHER_FRAME, false)).as_slice());
    work(prepare, move |bytes| {
        client.handle(now, Input::Stream(bytes));
        let mut packets = 0;
        while let Some(output) = client.poll_output() {
            packets += u64::from(matches!(output, Output::Event(Event::Packet { .. })));
            black_box(output);
        }
        packets
    })
}
