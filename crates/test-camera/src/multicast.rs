//! A camera that sends to a group.

use std::io;
use std::net::{IpAddr, UdpSocket};

use socket2::SockRef;

use crate::fault::Track;
use crate::options::Multicast;
use crate::session::Destination;

impl Multicast {
    /// Where a stream's track goes.
    pub(crate) fn destination(&self, stream: usize, track: Track) -> Option<Destination> {
        let rtp = self.port(stream, track)?;
        Some(Destination::Udp { address: self.group, rtp, rtcp: rtp.checked_add(1)? })
    }

    fn port(&self, stream: usize, track: Track) -> Option<u16> {
        let place = stream * 2 + usize::from(track == Track::Audio);
        self.port.checked_add(u16::try_from(place * 2).ok()?)
    }

    /// The `Transport` that SETUP answers for a track of that port.
    pub(crate) fn transport(&self, port: u16, source: IpAddr) -> String {
        let Self { group, ttl, .. } = self;
        format!(
            "RTP/AVP;multicast;destination={group};port={port}-{};ttl={ttl};source={source}",
            u32::from(port) + 1
        )
    }

    /// Makes a description (RFC 8866 sections 5.7 and 5.14, RFC 4570 section 3) of one that names
    /// neither address nor port.
    pub(crate) fn describe(&self, text: &str, stream: usize, source: IpAddr) -> String {
        let group = self.group;
        let (kind, group_and_ttl) = match group {
            IpAddr::V4(_) => ("IP4", format!("{group}/{}", self.ttl)),
            IpAddr::V6(_) => ("IP6", group.to_string()),
        };
        let mut connection = format!("c=IN {kind} {group_and_ttl}\r\n");
        if self.source_specific {
            let filter = format!("a=source-filter: incl IN {kind} {group} {source}\r\n");
            // Attributes come after the time.
            connection.push_str("t=0 0\r\n");
            connection.push_str(&filter);
        } else {
            connection.push_str("t=0 0\r\n");
        }
        let mut text = text.replace("c=IN IP4 0.0.0.0\r\nt=0 0\r\n", &connection);
        for (track, name) in [(Track::Video, "video"), (Track::Audio, "audio")] {
            let port = self.port(stream, track).unwrap_or_default();
            text = text.replace(&format!("m={name} 0 "), &format!("m={name} {port} "));
        }
        text
    }

    /// Prepares the sockets that send.
    pub(crate) fn prepare(&self, sockets: [&UdpSocket; 2], own: IpAddr) -> io::Result<()> {
        for socket in sockets.map(SockRef::from) {
            match (self.group, own) {
                (IpAddr::V4(_), IpAddr::V4(own)) => {
                    socket.set_multicast_ttl_v4(u32::from(self.ttl))?;
                    if !own.is_unspecified() {
                        socket.set_multicast_if_v4(&own)?;
                    }
                }
                _ => socket.set_multicast_hops_v6(u32::from(self.ttl))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_names_group_ports_and_sender() {
        let plain = "v=0\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=x\r\nm=video 0 RTP/AVP 96\r\nm=audio 0 RTP/AVP 97\r\n";
        let multicast = Multicast {
            group: IpAddr::from([232, 1, 2, 3]),
            port: 5000,
            ttl: 4,
            source_specific: true,
        };
        assert_eq!(
            multicast.describe(plain, 1, IpAddr::from([10, 0, 0, 1])),
            "v=0\r\nc=IN IP4 232.1.2.3/4\r\nt=0 0\r\n\
             a=source-filter: incl IN IP4 232.1.2.3 10.0.0.1\r\na=x\r\n\
             m=video 5004 RTP/AVP 96\r\nm=audio 5006 RTP/AVP 97\r\n"
        );
        let any = Multicast { source_specific: false, ..multicast };
        assert!(!any.describe(plain, 0, IpAddr::from([10, 0, 0, 1])).contains("source-filter"));
    }
}
