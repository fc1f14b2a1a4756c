//! Readers over UDP behind ways that take no segmented messages: smaller than Ethernet, or with
//! packets that just do not fit. The kernel fragments then, if it is asked to send singly.
//!
//! All of it needs the right to make network namespaces; without it each test says so and passes.

use std::net::IpAddr;
use std::time::Duration;

use integration_tests::camera;
use integration_tests::namespaces::{End, Net, join_plainly, narrow};
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use test_camera::{Camera, CameraOptions, Pace, Source};

const SOON: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_secs(2);
/// Less than the camera's packets have.
const MTU: u16 = 1300;

/// The proxy's network, which a camera is in too, and one for readers, each with its cable.
struct Place {
    proxys: Net,
    readers: Vec<Net>,
    _camera: Camera,
    proxy: Proxy,
}

fn near(subnet: usize) -> [IpAddr; 2] {
    [format!("10.82.{subnet}.1"), format!("fd82:{subnet}::1")].map(|it| it.parse().expect("ours"))
}

fn far(subnet: usize) -> [IpAddr; 2] {
    [format!("10.82.{subnet}.2"), format!("fd82:{subnet}::2")].map(|it| it.parse().expect("ours"))
}

impl Place {
    /// So many networks of readers, and a camera with so many payload bytes in its packets.
    fn new(networks: usize, payload_limit: usize, lines: &str) -> Option<Self> {
        let proxys = Net::new()?;
        let readers = (0..networks).map(|_| Net::new()).collect::<Option<Vec<_>>>()?;
        for (number, net) in readers.iter().enumerate() {
            join_plainly(
                &End { net: &proxys, name: &format!("p-{number}"), addresses: &near(number) },
                &End { net, name: "v-reader", addresses: &far(number) },
            );
        }
        // Frames of some twenty packets, which go out in segmented messages.
        let source = Source::Synthetic(test_camera::Synthetic::default());
        let options = CameraOptions {
            payload_limit,
            source,
            audio: false,
            pace: Pace::Burst,
            segmented: true,
            ..CameraOptions::default()
        };
        let camera = proxys.within(|| camera::start(options));
        let text = format!("[streams.cam]\nsource = \"{}\"\n{lines}\n", camera.url(0));
        let proxy = proxys.within(|| Proxy::configured(&text));
        proxy.wait_described("cam");
        Some(Self { proxys, readers, _camera: camera, proxy })
    }

    fn narrow(&self, number: usize) {
        let name = format!("p-{number}");
        narrow(&End { net: &self.proxys, name: &name, addresses: &near(number) }, MTU);
    }

    /// A reader over UDP in a network, over version 4 or 6.
    fn reader(&self, number: usize, version: usize) -> RawReader {
        let host = match near(number)[version] {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let url = format!("rtsp://{host}:{}/cam", self.proxy.port());
        let net = &self.readers[number];
        net.within(|| RawReader::play_tracks(&url, Over::Udp, &[1]))
    }

    /// Each of them gets everything, all at the same time.
    fn assert_whole(&self, readers: &mut [RawReader]) {
        std::thread::scope(|scope| {
            for reader in readers {
                scope.spawn(|| {
                    assert!(reader.next_media(1, SOON).is_some(), "{}", self.proxy.log());
                    let tally = reader.receive(A_MOMENT).remove(&1).unwrap_or_default();
                    assert!(tally.is_whole(), "{tally:?}\n{}", self.proxy.log());
                    // More than a packet per frame: they were to be segments.
                    assert!(tally.packets > 200, "{tally:?}");
                });
            }
        });
    }
}

#[test]
fn a_reader_behind_a_smaller_mtu_gets_everything_and_so_do_the_others() {
    let Some(place) = Place::new(2, 1400, "") else { return };
    place.narrow(0);
    for version in [0, 1] {
        place.assert_whole(&mut [0, 1, 0].map(|number| place.reader(number, version)));
    }
}

#[test]
fn packets_that_fit_into_ethernet_over_version_4_alone_reach_readers_over_version_6() {
    let Some(place) = Place::new(1, 1448, "packets = \"relay\"") else { return };
    for version in [0, 1] {
        place.assert_whole(&mut [place.reader(0, version)]);
    }
}

#[test]
fn readers_that_all_are_behind_a_smaller_mtu_get_everything() {
    let Some(place) = Place::new(1, 1400, "") else { return };
    place.narrow(0);
    let mut readers = [0, 1, 0].map(|version| place.reader(0, version));
    place.assert_whole(&mut readers);
    // Longer than it takes to find out that all refuse, if they do: then nothing is lost either.
    place.assert_whole(&mut readers);
}
