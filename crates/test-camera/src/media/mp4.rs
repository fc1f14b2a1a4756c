//! As much of MP4 (ISO/IEC 14496-12 and -15) as a clip needs that a program has just written: one
//! video track, not fragmented, at a constant rate.

use anyhow::{Context as _, bail, ensure};

use super::nal::ParameterSets;

/// The video track of a file.
#[derive(Debug)]
pub(super) struct Movie<'a> {
    pub(super) parameter_sets: ParameterSets,
    pub(super) fps: u32,
    /// In decoding order.
    pub(super) frames: Vec<Frame<'a>>,
}

/// One access unit.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) nals: Vec<&'a [u8]>,
    /// Its place in the order in which frames are shown, from 0.
    pub(super) shown: u32,
}

impl<'a> Movie<'a> {
    /// Reads a whole file.
    pub(super) fn parse(file: &'a [u8]) -> anyhow::Result<Self> {
        let movie = find(file, b"moov").context("this is no MP4 file")?;
        let media = boxes(movie)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, track)| find(track, b"mdia"))
            .find(|media| find(media, b"hdlr").and_then(|b| b.get(8..12)) == Some(b"vide"))
            .context("there is no video track")?;
        let table = find(media, b"minf").and_then(|information| find(information, b"stbl"));
        let table = table.context("there is no sample table")?;
        let (parameter_sets, length_size) = configuration(table)?;

        let (delta, samples) = single_rate(full(table, b"stts")?)?;
        let timescale = timescale(full(media, b"mdhd")?).context("mdhd is too short")?;
        ensure!(
            delta > 0 && timescale % delta == 0 && (1..=1000).contains(&(timescale / delta)),
            "{timescale}/{delta} frames per second are not a whole number of 1 to 1000"
        );
        let bytes = sample_bytes(file, table)?;
        ensure!(bytes.len() == samples as usize && samples > 0, "stts and stsz disagree");
        let shown = order(table, delta, samples)?;
        let frames = bytes.into_iter().zip(shown).map(|(bytes, shown)| {
            let nals = nals(bytes, length_size).context("a sample is cut short")?;
            Ok(Frame { nals, shown })
        });
        let frames = frames.collect::<anyhow::Result<_>>()?;
        Ok(Self { parameter_sets, fps: timescale / delta, frames })
    }
}

/// The parameter sets, and the bytes of the lengths before NAL units.
fn configuration(table: &[u8]) -> anyhow::Result<(ParameterSets, usize)> {
    let entries = full(table, b"stsd")?.get(8..).context("stsd is too short")?;
    let (kind, entry) = boxes(entries).next().context("there is no sample entry")?;
    // A visual sample entry's own fields come before its boxes.
    let inner = entry.get(78..).unwrap_or_default();
    match &kind {
        b"avc1" | b"avc3" => {
            let mut record = Bytes(find(inner, b"avcC").context("there is no avcC")?);
            let found = record.avc().context("avcC is cut short")?;
            Ok(found)
        }
        b"hvc1" | b"hev1" => {
            let mut record = Bytes(find(inner, b"hvcC").context("there is no hvcC")?);
            let found = record.hevc().context("hvcC lacks a parameter set")?;
            Ok(found)
        }
        other => bail!("{} is neither H.264 nor H.265", String::from_utf8_lossy(other)),
    }
}

/// `mdhd`'s units per second.
fn timescale(header: &[u8]) -> Option<u32> {
    // Version 1 has times of 64 bits.
    let at = if header.first() == Some(&1) { 20 } else { 12 };
    Bytes(header.get(at..)?).u32()
}

/// `stts` of a track with a constant rate: units per sample, number of samples.
fn single_rate(durations: &[u8]) -> anyhow::Result<(u32, u32)> {
    let mut bytes = Bytes(durations.get(4..).unwrap_or_default());
    let mut read = || Some((bytes.u32()?, bytes.u32()?, bytes.u32()?));
    let (1, samples, delta) = read().context("stts is too short")? else {
        bail!("the frame rate is not constant");
    };
    Ok((delta, samples))
}

/// The bytes of every sample, in decoding order.
fn sample_bytes<'a>(file: &'a [u8], table: &[u8]) -> anyhow::Result<Vec<&'a [u8]>> {
    let mut sizes = Bytes(full(table, b"stsz")?.get(4..).unwrap_or_default());
    let (Some(common), Some(count)) = (sizes.u32(), sizes.u32()) else {
        bail!("stsz is too short");
    };
    let mut chunks = Bytes(full(table, b"stco")?.get(8..).unwrap_or_default());
    // From its first chunk on, each run of chunks has so many samples apiece.
    let mut runs = Bytes(full(table, b"stsc")?.get(8..).unwrap_or_default());
    let mut runs = std::iter::from_fn(|| Some((runs.u32()?, runs.u32()?, runs.u32()?))).peekable();
    let mut samples = Vec::new();
    let mut in_chunk = 0;
    let mut chunk = 0;
    while samples.len() < count as usize {
        chunk += 1;
        while let Some((_, per_chunk, _)) = runs.next_if(|(first, ..)| *first <= chunk) {
            in_chunk = per_chunk;
        }
        let mut at = chunks.u32().context("stco is too short")? as usize;
        for _ in 0..in_chunk.min(count - samples.len() as u32) {
            let size = if common == 0 { sizes.u32().context("stsz is too short")? } else { common };
            let end = at + size as usize;
            samples.push(file.get(at..end).context("a sample lies outside of the file")?);
            at = end;
        }
    }
    Ok(samples)
}

/// The place of every sample in the order in which they are shown.
fn order(table: &[u8], delta: u32, samples: u32) -> anyhow::Result<Vec<u32>> {
    let Some(offsets) = find(table, b"ctts") else { return Ok((0..samples).collect()) };
    let mut offsets = Bytes(offsets.get(8..).unwrap_or_default());
    let runs = std::iter::from_fn(|| Some((offsets.u32()?, offsets.u32()?)));
    let offsets = runs.flat_map(|(count, offset)| (0..count).map(move |_| offset));
    // Offsets are signed in version 1; in version 0 they are small.
    let times: Vec<i64> = (0..samples)
        .zip(offsets)
        .map(|(index, offset)| {
            i64::from(index) * i64::from(delta) + i64::from(offset.cast_signed())
        })
        .collect();
    let first = times.iter().min().context("ctts is empty")?;
    let shown: Vec<u32> = times
        .iter()
        .map_while(|time| u32::try_from((time - first) / i64::from(delta)).ok())
        .collect();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    ensure!(sorted.into_iter().eq(0..samples), "ctts leaves gaps or doubles");
    Ok(shown)
}

/// The NAL units of a sample.
fn nals(sample: &[u8], length_size: usize) -> Option<Vec<&[u8]>> {
    let mut bytes = Bytes(sample);
    let mut nals = Vec::new();
    while !bytes.0.is_empty() {
        let length = bytes.take(length_size)?.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
        nals.push(bytes.take(length)?);
    }
    Some(nals)
}

/// The body of the first box of a kind.
fn find<'a>(boxed: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(boxed).find(|(kind, _)| kind == wanted).map(|(_, body)| body)
}

fn full<'a>(boxed: &'a [u8], wanted: &[u8; 4]) -> anyhow::Result<&'a [u8]> {
    let name = String::from_utf8_lossy(wanted);
    find(boxed, wanted).with_context(|| format!("there is no {name}"))
}

/// The boxes of a box, until one that is cut short.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = Bytes(bytes);
    std::iter::from_fn(move || {
        let size = rest.u32()? as usize;
        let kind = *rest.take(4)?.first_chunk()?;
        let body = match size {
            0 => rest.take(rest.0.len())?,
            1 => {
                let wide = u64::from(rest.u32()?) << 32 | u64::from(rest.u32()?);
                rest.take(usize::try_from(wide).ok()?.checked_sub(16)?)?
            }
            size => rest.take(size.checked_sub(8)?)?,
        };
        Some((kind, body))
    })
}

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn nal(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// An AVCDecoderConfigurationRecord.
    fn avc(&mut self) -> Option<(ParameterSets, usize)> {
        self.take(4)?;
        let length_size = usize::from(self.u8()? & 3) + 1;
        let mut last = |mask: u8| {
            let count = self.u8()? & mask;
            (0..count).map_while(|_| self.nal()).last().map(Box::from)
        };
        let (sps, pps) = (last(0x1F)?, last(0xFF)?);
        Some((ParameterSets::H264 { sps, pps }, length_size))
    }

    /// An HEVCDecoderConfigurationRecord.
    fn hevc(&mut self) -> Option<(ParameterSets, usize)> {
        self.take(21)?;
        let length_size = usize::from(self.u8()? & 3) + 1;
        let (mut vps, mut sps, mut pps) = (None, None, None);
        for _ in 0..self.u8()? {
            let kind = self.u8()? & 0x3F;
            for _ in 0..self.u16()? {
                let nal = Some(Box::from(self.nal()?));
                match kind {
                    32 => vps = nal,
                    33 => sps = nal,
                    34 => pps = nal,
                    _ => {}
                }
            }
        }
        Some((ParameterSets::H265 { vps: vps?, sps: sps?, pps: pps? }, length_size))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind, &body].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Four frames of 25 per second: shown as 0, 3, 1, 2; two to a chunk.
    pub(in crate::media) fn file() -> Vec<u8> {
        let record = [&[1, 0x4D, 0, 13, 0xFF, 0xE1, 0, 2, 0x67, 7, 1, 0, 1, 0x68][..]].concat();
        let entry = boxed(b"avc1", &[&[0; 78], &boxed(b"avcC", &[&record])]);
        let samples: [&[u8]; 4] =
            [&[0, 0, 0, 2, 0x65, 9], &[0, 0, 0, 1, 0x41], &[0, 0, 0, 1, 1], &[0, 0, 0, 1, 1]];
        let data = boxed(b"mdat", &samples);
        let table = boxed(
            b"stbl",
            &[
                &boxed(b"stsd", &[&words(&[0, 1]), &entry]),
                &boxed(b"stts", &[&words(&[0, 1, 4, 512])]),
                &boxed(b"ctts", &[&words(&[0, 3, 1, 512, 1, 1536, 2, 0])]),
                &boxed(b"stsc", &[&words(&[0, 1, 1, 2, 1])]),
                &boxed(b"stsz", &[&words(&[0, 0, 4, 6, 5, 5, 5])]),
                &boxed(b"stco", &[&words(&[0, 2, 8, 19])]),
            ],
        );
        let media = boxed(
            b"mdia",
            &[
                &boxed(b"mdhd", &[&words(&[0, 0, 0, 12_800, 2048, 0])]),
                &boxed(b"hdlr", &[&words(&[0, 0]), b"vide", &[0; 13]]),
                &boxed(b"minf", &[&table]),
            ],
        );
        [data, boxed(b"moov", &[&boxed(b"trak", &[&media])])].concat()
    }

    #[test]
    fn frames_are_read_in_decoding_order_with_their_place_when_shown() {
        let file = file();
        let movie = Movie::parse(&file).unwrap();
        assert_eq!(movie.fps, 25);
        let shown: Vec<u32> = movie.frames.iter().map(|frame| frame.shown).collect();
        assert_eq!(shown, [0, 3, 1, 2]);
        let nals: Vec<&[u8]> = movie.frames.iter().flat_map(|f| f.nals.clone()).collect();
        assert_eq!(nals, [&[0x65, 9][..], &[0x41], &[1], &[1]]);
        let ParameterSets::H264 { sps, pps } = &movie.parameter_sets else { panic!("H.264") };
        assert_eq!((&**sps, &**pps), (&[0x67, 7][..], &[0x68][..]));
    }

    #[test]
    fn a_file_cut_short_anywhere_is_refused() {
        let file = file();
        for end in 0..file.len() {
            assert!(Movie::parse(&file[..end]).is_err(), "cut at {end}");
        }
    }
}
