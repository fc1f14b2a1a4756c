//! The two forms that a batch's bytes go out in.

use std::sync::OnceLock;

use crate::batch::{EntryKind, FRAME_HEADER_BYTES, WireBatch};

/// How the packets of a batch lie when it is built.
///
/// Whichever is asked for exists: the one it was built in at once, the other from the first time
/// somebody asks on. Where all readers are of one kind there is only ever one of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Form {
    /// One after the other, to be cut into datagrams.
    #[default]
    Plain,
    /// As `$` frames with the usual channels, 2n for RTP of track n (RFC 2326 section 10.12).
    Interleaved,
}

impl Form {
    /// Bytes before each packet.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Interleaved => FRAME_HEADER_BYTES,
        }
    }
}

/// A batch's bytes in one form, or both.
#[derive(Debug)]
pub(crate) struct Forms {
    form: Form,
    built: Box<[u8]>,
    other: OnceLock<Box<[u8]>>,
}

impl Forms {
    pub(crate) fn new(form: Form, built: Box<[u8]>) -> Self {
        Self { form, built, other: OnceLock::new() }
    }

    pub(crate) fn plain(built: Box<[u8]>) -> Self {
        Self::new(Form::Plain, built)
    }

    /// What it was built of.
    pub(crate) fn built(&self) -> &[u8] {
        &self.built
    }

    /// What is before each packet there.
    pub(crate) const fn header_len(&self) -> usize {
        self.form.header_len()
    }

    fn other_len(&self) -> usize {
        self.other.get().map_or(0, |other| other.len())
    }
}

impl WireBatch {
    /// What it was built of, in one form or the other: where [`WireBatch::packet`] points into.
    pub fn built(&self) -> &[u8] {
        self.forms.built()
    }

    /// All packets, one after the other. Unless it was built so that is a copy, made when it is
    /// asked for first.
    pub fn image(&self) -> &[u8] {
        self.as_form(Form::Plain)
    }

    /// All packets as `$` frames with the usual channels, 2n for RTP and 2n+1 for RTCP of track n.
    /// Unless it was built so that is a copy, made when it is asked for first.
    pub fn interleaved(&self) -> &[u8] {
        self.as_form(Form::Interleaved)
    }

    /// The memory it holds: the form it was built in, the other one if that was asked for, and
    /// itself.
    pub fn bytes_held(&self) -> usize {
        size_of::<Self>() + self.forms.built.len() + self.forms.other_len()
    }

    fn as_form(&self, form: Form) -> &[u8] {
        if form == self.forms.form {
            return &self.forms.built;
        }
        self.forms.other.get_or_init(|| {
            let copy = match form {
                Form::Plain => {
                    let mut image = Vec::with_capacity(self.image_len());
                    self.packets().for_each(|packet| image.extend_from_slice(packet));
                    image
                }
                Form::Interleaved => {
                    let mut framed = Vec::with_capacity(self.framed_len());
                    let (rtp, rtcp) = self.track.usual_channels();
                    let channel = if self.kind == EntryKind::Media { rtp } else { rtcp };
                    self.frame_onto(&mut framed, 0..self.len(), channel);
                    framed
                }
            };
            if let Some(meter) = &self.meter {
                meter.add(copy.len());
            }
            copy.into_boxed_slice()
        })
    }

    /// The bytes that it takes more once somebody has asked for this form.
    pub(crate) fn bytes_more(&self, form: Form) -> usize {
        match form {
            _ if form == self.forms.form => 0,
            Form::Plain => self.image_len(),
            Form::Interleaved => self.framed_len(),
        }
    }
}
