//! The built-in clips' byte stream format (ISO/IEC 14496-10 annex B).

use super::nal::{IDR_SLICE, ParameterSets, SLICE};

/// A byte stream as access units.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    pub(super) parameter_sets: ParameterSets,
    pub(super) units: Vec<Vec<&'a [u8]>>,
}

impl<'a> Stream<'a> {
    /// Takes a byte stream apart. Only slices are kept; the parameter sets must not change.
    pub(super) fn parse(stream: &'a [u8]) -> anyhow::Result<Self> {
        let (mut sps, mut pps) = (None, None);
        let mut units: Vec<Vec<&[u8]>> = Vec::new();
        for nal in Nals::new(stream) {
            let Some(&first) = nal.first() else { continue };
            match first & 0x1F {
                SPS => sps = Some(nal),
                PPS => pps = Some(nal),
                SLICE | IDR_SLICE => {
                    // `first_mb_in_slice` is ue(v): a leading one bit is zero, a new picture.
                    let starts = nal.get(1).is_some_and(|byte| byte & 0x80 != 0);
                    match units.last_mut() {
                        Some(unit) if !starts => unit.push(nal),
                        _ => units.push(vec![nal]),
                    }
                }
                _ => {}
            }
        }
        let (Some(sps), Some(pps)) = (sps, pps) else {
            anyhow::bail!("there are no parameter sets");
        };
        anyhow::ensure!(sps.len() >= 4 && !units.is_empty(), "there is no picture");
        let parameter_sets = ParameterSets::H264 { sps: sps.into(), pps: pps.into() };
        Ok(Self { parameter_sets, units })
    }
}

/// The NAL units of a byte stream, without start codes and trailing zeros.
struct Nals<'a> {
    rest: &'a [u8],
}

impl<'a> Nals<'a> {
    fn new(stream: &'a [u8]) -> Self {
        let rest = start_code(stream).and_then(|at| stream.get(at + 3..)).unwrap_or_default();
        Self { rest }
    }
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (nal, rest) = match start_code(self.rest) {
            Some(at) => {
                let (nal, rest) = self.rest.split_at(at);
                (nal, rest.get(3..).unwrap_or_default())
            }
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        nal.get(..end)
    }
}

fn start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

const SPS: u8 = 7;
const PPS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_are_found_between_start_codes_of_three_and_four_bytes() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0x80, 0, 4];
        let nals: Vec<&[u8]> = Nals::new(&stream).collect();
        assert_eq!(nals, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0x80, 0, 4]]);
        assert_eq!(Nals::new(&[1, 2, 3]).count(), 0);
        assert_eq!(Nals::new(&[]).count(), 0);
    }
}
