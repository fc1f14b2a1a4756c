//! Backends and readers in networks of their own: groups, ways that part, names that change.
//!
//! All of it needs the right to make network namespaces; without it each test says so and passes.

use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use integration_tests::backend::GstServer;
use integration_tests::camera;
use integration_tests::media::H264_AAC;
use integration_tests::namespaces::{End, Hosts, Net, join, join_plainly, link, table};
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::wait;
use nix::sys::signal::Signal;
use test_camera::{Camera, CameraOptions, Method, Multicast};

const SOON: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_secs(2);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A network with a camera, one with the proxy, and the cable between them.
fn two(cameras: &[IpAddr], proxys: &[IpAddr]) -> Option<(Net, Net)> {
    let (one, other) = (Net::new()?, Net::new()?);
    join(
        &End { net: &one, name: "v-camera", addresses: cameras },
        &End { net: &other, name: "v-proxy", addresses: proxys },
    );
    Some((one, other))
}

fn start_in(net: &Net, address: IpAddr, multicast: Option<Multicast>) -> Camera {
    let bind = SocketAddr::new(address, 0);
    net.within(|| camera::start(CameraOptions { bind, multicast, ..CameraOptions::default() }))
}

fn configured(net: &Net, source: &str, lines: &str) -> Proxy {
    let text = format!("[streams.cam]\nsource = \"{source}\"\n{lines}\n");
    net.within(|| Proxy::configured(&text))
}

fn assert_whole(proxy: &Proxy, reader: &mut RawReader) {
    assert!(reader.next_media(1, SOON).is_some(), "{}", proxy.log());
    let tallies = reader.receive(A_MOMENT);
    for track in [1, 2] {
        let tally = tallies.get(&track).cloned().unwrap_or_default();
        assert!(tally.is_whole(), "track {track}: {tally:?}\n{}", proxy.log());
    }
}

/// A proxy that takes a camera's media from a group, while a stranger sends to the same group.
fn from_group(group: &str, addresses: [&str; 3], source_specific: bool, interface: &str) {
    let [own, stranger, proxys] = addresses.map(ip);
    let Some((one, other)) = two(&[own, stranger], &[proxys]) else { return };
    let group = ip(group);
    let multicast = Multicast { group, port: 5600, ttl: 4, source_specific };
    let camera = start_in(&one, own, Some(multicast));
    let lines = format!("transport = \"multicast\"\n{interface}");
    let proxy = configured(&other, &camera.url(0), &lines);
    let url = proxy.url("cam");
    let mut reader = other.within(|| RawReader::play_tracks(&url, Over::Tcp, &[1, 2]));
    assert!(reader.next_media(1, SOON).is_some(), "{}", proxy.log());

    let noise = one.within(|| UdpSocket::bind(SocketAddr::new(stranger, 0)).expect("a socket"));
    if let (IpAddr::V4(from), IpAddr::V4(_)) = (stranger, group) {
        socket2::SockRef::from(&noise)
            .set_multicast_if_v4(&from)
            .expect("the stranger's interface");
    }
    for number in 0..50_u16 {
        let [high, low] = number.to_be_bytes();
        // Like the camera's own, but for who sends it.
        let packet = [0x80, 96, high, low, 0, 0, 0, 0, 1, 2, 3, 4, 0x65, 0x88, 0, 0];
        noise.send_to(&packet, (group, 5600)).expect("sent");
    }
    assert_whole(&proxy, &mut reader);

    let setups: Vec<_> =
        camera.log().iter().filter_map(|entry| entry.request()?.transport.clone()).collect();
    assert!(setups.iter().all(|transport| transport.contains("multicast")), "{setups:?}");
    // What the kernel was asked for: one sender, or any.
    let filters = other.within(|| table("mcfilter") + &table("mcfilter6"));
    let named = filters.lines().any(|line| line.contains(&hex(group)) && line.contains(&hex(own)));
    assert_eq!(named, source_specific, "{filters}");

    // The groups are left with the session.
    drop(reader);
    drop(camera);
    let members = || other.within(|| table("igmp") + &table("igmp6"));
    let left = wait::until(Duration::from_secs(20), || {
        let members = members().to_lowercase();
        !members.contains(&hex(group)) && !members.contains(&turned(group))
    });
    assert!(left, "{}\n{}", members(), proxy.log());
}

/// As the kernel's tables have it.
fn hex(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.octets().iter().map(|byte| format!("{byte:02x}")).collect(),
        IpAddr::V6(v6) => v6.octets().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// As one table has it, in the order of the host.
fn turned(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(|byte| format!("{byte:02x}")).collect(),
        IpAddr::V6(_) => hex(address),
    }
}

#[test]
fn media_comes_by_a_group_with_any_sender() {
    from_group("239.255.7.7", ["10.81.1.1", "10.81.1.9", "10.81.1.2"], false, "");
}

#[test]
fn media_comes_by_a_group_with_one_sender() {
    from_group("232.7.7.7", ["10.81.2.1", "10.81.2.9", "10.81.2.2"], true, "");
}

#[test]
fn media_comes_by_a_group_with_one_sender_over_version_6() {
    from_group("ff3e::4321:7", ["fd81:3::1", "fd81:3::9", "fd81:3::2"], true, "");
}

#[test]
fn media_comes_by_a_group_with_any_sender_over_version_6() {
    from_group("ff15::4321:8", ["fd81:10::1", "fd81:10::9", "fd81:10::2"], false, "");
}

#[test]
fn the_interface_for_groups_can_be_chosen() {
    let named = "interface = \"v-proxy\"";
    from_group("239.255.7.8", ["10.81.4.1", "10.81.4.9", "10.81.4.2"], false, named);
    // On another one nothing comes, and that is said.
    let Some((one, other)) = two(&[ip("10.81.5.1")], &[ip("10.81.5.2")]) else { return };
    let multicast =
        Multicast { group: ip("239.255.7.9"), port: 5600, ttl: 4, source_specific: false };
    let camera = start_in(&one, ip("10.81.5.1"), Some(multicast));
    let lines = "transport = \"multicast\"\ninterface = \"nowhere0\"";
    let proxy = configured(&other, &camera.url(0), lines);
    let url = proxy.url("cam");
    let _asker = other.within(|| {
        let mut asker = RawReader::connect(&url, Over::Tcp);
        asker.describe();
        asker.try_set_up(1)
    });
    proxy.wait_for_log(SOON, &["there is no interface nowhere0"]);
}

#[test]
fn a_backend_in_one_network_is_served_to_readers_in_another() {
    let (Some(backends), Some(proxys), Some(readers)) = (Net::new(), Net::new(), Net::new()) else {
        return;
    };
    for (far, name, subnet) in [(&backends, "v-back", 6), (&readers, "v-read", 7)] {
        let (near, end) = ([10, 81, subnet, 1].into(), [10, 81, subnet, 2].into());
        let here = format!("p-{subnet}");
        // The proxy knows both networks, which know nothing of each other.
        join_plainly(
            &End { net: &proxys, name: &here, addresses: &[near] },
            &End { net: far, name, addresses: &[end] },
        );
    }
    let camera = start_in(&backends, ip("10.81.6.2"), None);
    for transport in ["udp", "tcp"] {
        let lines = format!("transport = \"{transport}\"");
        let proxy = configured(&proxys, &camera.url(0), &lines);
        let url = format!("rtsp://10.81.7.1:{}/cam", proxy.port());
        for over in [Over::Udp, Over::Tcp] {
            let mut reader = readers.within(|| RawReader::play_tracks(&url, over, &[1, 2]));
            assert_whole(&proxy, &mut reader);
        }
    }
}

#[test]
fn readers_with_the_same_address_on_two_links_get_their_media_by_their_own() {
    let (Some(proxys), Some(readers)) = (Net::new(), Net::new()) else { return };
    let links = [("p-0", "r-0"), ("p-1", "r-1")];
    for (here, there) in links {
        join_plainly(
            &End { net: &proxys, name: here, addresses: &[ip("fe80::1")] },
            &End { net: &readers, name: there, addresses: &[ip("fe80::2")] },
        );
    }
    let camera = start_in(&proxys, ip("127.0.0.1"), None);
    let proxy = configured(&proxys, &camera.url(0), "");
    proxy.wait_described("cam");
    let mut playing = Vec::new();
    for (_, there) in links {
        playing.push(readers.within(|| {
            let at =
                SocketAddrV6::new("fe80::1".parse().expect("one"), proxy.port(), 0, link(there));
            let url = format!("rtsp://[fe80::1]:{}/cam", proxy.port());
            let mut reader = RawReader::connect_to(at.into(), &url, Over::Udp);
            reader.describe();
            let answer = reader.set_up(1);
            let source = answer.transport("ssrc").map(|hex| u32::from_str_radix(hex, 16));
            reader.set_up(2);
            reader.play();
            (there, reader, source.expect("a source").expect("a number").to_be_bytes())
        }));
    }
    for (there, reader, source) in &mut playing {
        assert_whole(&proxy, reader);
        // Only who is known by its address and link is taken at its word.
        let tool = format!("behind {there}");
        let mut report = vec![0x81, 201, 0, 7, 1, 2, 3, 4];
        report.extend_from_slice(source);
        report.resize(8 + 24, 0);
        report.extend_from_slice(&[0x81, 202, 0, 5, 1, 2, 3, 4, 6, 10]);
        report.extend_from_slice(tool.as_bytes());
        report.resize(8 + 24 + 24, 0);
        reader.send_rtcp(1, &report);
        let told = wait::until(SOON, || {
            proxy.process.signal(Signal::SIGUSR1);
            wait::pass(Duration::from_millis(100));
            proxy.log().contains(&tool)
        });
        assert!(told, "{tool}: {}", proxy.log());
    }
    for (_, mut reader, _) in playing {
        reader.tear_down();
    }
}

#[test]
fn a_name_is_looked_up_anew_at_each_attempt() {
    let on = |address: [u8; 4], port| {
        camera::start(CameraOptions {
            bind: SocketAddr::from((address, port)),
            ..CameraOptions::default()
        })
    };
    let first = on([127, 0, 0, 1], 0);
    let port = first.port();
    let second = on([127, 0, 0, 2], port);
    Hosts::with(&[("camera.test", "127.0.0.1")], |hosts| {
        let text = format!("[streams.cam]\nsource = \"rtsp://camera.test:{port}/cam\"\n");
        let proxy = Proxy::configured(&text);
        proxy.wait_described("cam");
        let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
        assert_whole(&proxy, &mut reader);
        assert_eq!(camera::count(&second, Method::Describe), 0);
        hosts.set(&[("camera.test", "127.0.0.2")]);
        drop(first);
        camera::wait_count(&second, Method::Play, 1, SOON);
    });
}

#[test]
fn an_address_that_does_not_answer_leaves_time_for_the_next() {
    let Some((one, other)) = two(&[ip("10.81.8.1")], &[ip("10.81.8.2")]) else { return };
    let camera = start_in(&one, ip("10.81.8.1"), None);
    // The first is in the same network, and nobody has it: for some seconds nothing says so. It is
    // the one that is nearer, as some resolvers sort them (RFC 6724 section 5).
    let names = [("camera.test", "10.81.8.3"), ("camera.test", "10.81.8.1")];
    Hosts::with(&names, |_| {
        let source = format!("rtsp://camera.test:{}/cam", camera.port());
        let begun = wait::now();
        let proxy = configured(&other, &source, "connect_timeout = \"2s\"");
        proxy.wait_described("cam");
        // Half of the time allowed was the first one's.
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(900), "{took:?}: the other was tried first");
        assert!(!proxy.log().contains("cannot connect"), "{}", proxy.log());
    });
}

#[test]
fn gst_rtsp_server_is_heard_by_its_group() {
    let Some((one, other)) = two(&[ip("10.81.9.1")], &[ip("10.81.9.2")]) else { return };
    let options = ["--address", "10.81.9.1", "--group", "239.255.7.10"];
    let server = one.within(|| GstServer::start_with(0, &options, &[H264_AAC]));
    let source = format!("rtsp://10.81.9.1:{}/{}", server.port(), H264_AAC.name);
    let proxy = configured(&other, &source, "transport = \"multicast\"");
    let url = proxy.url("cam");
    let mut reader = other.within(|| RawReader::play_tracks(&url, Over::Tcp, &[1, 2]));
    assert_whole(&proxy, &mut reader);
}
