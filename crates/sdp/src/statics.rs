//! Payload types that need no `a=rtpmap` (RFC 3551 section 6, tables 4 and 5).

/// Encoding, clock rate in hertz, and channels (audio only).
pub(crate) fn lookup(payload_type: u8) -> Option<(&'static str, u32, Option<u16>)> {
    Some(match payload_type {
        0 => ("PCMU", 8_000, Some(1)),
        3 => ("GSM", 8_000, Some(1)),
        4 => ("G723", 8_000, Some(1)),
        5 => ("DVI4", 8_000, Some(1)),
        6 => ("DVI4", 16_000, Some(1)),
        7 => ("LPC", 8_000, Some(1)),
        8 => ("PCMA", 8_000, Some(1)),
        // The clock counts 8000 although 16000 samples are taken: RFC 3551 section 4.5.2.
        9 => ("G722", 8_000, Some(1)),
        10 => ("L16", 44_100, Some(2)),
        11 => ("L16", 44_100, Some(1)),
        12 => ("QCELP", 8_000, Some(1)),
        13 => ("CN", 8_000, Some(1)),
        14 => ("MPA", 90_000, None),
        15 => ("G728", 8_000, Some(1)),
        16 => ("DVI4", 11_025, Some(1)),
        17 => ("DVI4", 22_050, Some(1)),
        18 => ("G729", 8_000, Some(1)),
        25 => ("CelB", 90_000, None),
        26 => ("JPEG", 90_000, None),
        28 => ("nv", 90_000, None),
        31 => ("H261", 90_000, None),
        32 => ("MPV", 90_000, None),
        33 => ("MP2T", 90_000, None),
        34 => ("H263", 90_000, None),
        _ => return None,
    })
}
