use std::time::Instant;

use rtsp_proto::Request;
use smallvec::SmallVec;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Describe,
    Setup,
    Play,
    Pause,
    Teardown,
    KeepAlive,
    /// TEARDOWN of a session whose connection is gone.
    Orphan,
}

impl Purpose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown | Self::Orphan => "TEARDOWN",
            Self::KeepAlive => "keep-alive",
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) purpose: Purpose,
    /// Without `CSeq` and `Authorization`, which are its sending's own.
    pub(crate) request: Request,
    pub(crate) cseq: u32,
    pub(crate) deadline: Instant,
    /// Whether it carried credentials.
    pub(crate) authorized: bool,
    /// How often it was sent again with an answer to a challenge.
    pub(crate) challenges: u8,
}

/// The requests of one connection: at most one is under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    under_way: Option<Exchange>,
    last_cseq: u32,
    /// Sent, and given up waiting for: their answers may still come.
    abandoned: SmallVec<[u32; ABANDONED]>,
}

/// What a response answers.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The request under way.
    Exchange(Exchange, Attribution),
    /// One given up before.
    Late,
    /// None.
    Stray,
}

/// How a response was found to answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribution {
    Exact,
    MissingCseq,
    ForeignCseq(u32),
}

impl Exchanges {
    /// A new connection: nothing sent before will be answered.
    pub(crate) fn restart(&mut self) {
        *self = Self { last_cseq: self.last_cseq, ..Self::default() };
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|exchange| exchange.deadline)
    }

    pub(crate) fn purpose(&self) -> Option<Purpose> {
        self.under_way.as_ref().map(|exchange| exchange.purpose)
    }

    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.last_cseq = self.last_cseq % MAX_CSEQ + 1;
        self.last_cseq
    }

    /// Takes note of what was just sent. What was under way is given up.
    pub(crate) fn begin(&mut self, exchange: Exchange) {
        self.abandon();
        self.under_way = Some(exchange);
    }

    /// Brings the deadline forward.
    pub(crate) fn hurry(&mut self, deadline: Instant) {
        if let Some(exchange) = &mut self.under_way {
            exchange.deadline = exchange.deadline.min(deadline);
        }
    }

    /// Gives up waiting for the answer to what is under way.
    pub(crate) fn abandon(&mut self) -> Option<Exchange> {
        let exchange = self.under_way.take()?;
        if self.abandoned.len() == ABANDONED {
            self.abandoned.remove(0);
        }
        self.abandoned.push(exchange.cseq);
        Some(exchange)
    }

    pub(crate) fn overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Finds what a response answers. Without a `CSeq` that tells, it is the request under way:
    /// nothing else can be meant.
    pub(crate) fn answered(&mut self, cseq: Option<u32>) -> Answered {
        if let Some(cseq) = cseq
            && self.under_way.as_ref().is_none_or(|exchange| exchange.cseq != cseq)
            && let Some(late) = self.abandoned.iter().position(|abandoned| *abandoned == cseq)
        {
            self.abandoned.remove(late);
            return Answered::Late;
        }
        let Some(exchange) = self.under_way.take() else { return Answered::Stray };
        let attribution = match cseq {
            None => Attribution::MissingCseq,
            Some(cseq) if cseq == exchange.cseq => Attribution::Exact,
            Some(cseq) => Attribution::ForeignCseq(cseq),
        };
        Answered::Exchange(exchange, attribution)
    }

    /// Puts back what a provisional response did not answer for good.
    pub(crate) fn resume(&mut self, exchange: Exchange) {
        self.under_way = Some(exchange);
    }
}

/// How many requests given up are remembered.
const ABANDONED: usize = 8;
/// `CSeq` starts over after this: some backends keep it in 31 bits.
const MAX_CSEQ: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;
    use rtsp_proto::Method;

    fn begin(exchanges: &mut Exchanges) -> u32 {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
        let deadline = Instant::now();
        let cseq = exchanges.next_cseq();
        exchanges.begin(Exchange {
            purpose: Purpose::KeepAlive,
            request: Request::new(Method::Options, "*"),
            cseq,
            deadline,
            authorized: false,
            challenges: 0,
        });
        cseq
    }

    #[test]
    fn an_answer_is_found_by_its_number() {
        let mut exchanges = Exchanges::default();
        let cseq = begin(&mut exchanges);
        let answered = exchanges.answered(Some(cseq));
        assert!(matches!(answered, Answered::Exchange(_, Attribution::Exact)));
        assert!(matches!(exchanges.answered(Some(cseq)), Answered::Stray));
    }

    #[test]
    fn an_answer_to_what_was_given_up_does_not_answer_what_is_under_way() {
        let mut exchanges = Exchanges::default();
        let first = begin(&mut exchanges);
        exchanges.abandon();
        let second = begin(&mut exchanges);
        assert!(matches!(exchanges.answered(Some(first)), Answered::Late));
        assert!(!exchanges.is_idle());
        let answered = exchanges.answered(Some(second));
        assert!(matches!(answered, Answered::Exchange(_, Attribution::Exact)));
    }

    #[test]
    fn only_so_many_requests_given_up_are_remembered() {
        let mut exchanges = Exchanges::default();
        for _ in 0..1000 {
            begin(&mut exchanges);
            exchanges.abandon();
        }
        assert_eq!(exchanges.abandoned.len(), ABANDONED);
        assert!(!exchanges.abandoned.spilled());
    }

    #[test]
    fn numbers_start_over_before_they_overflow_and_never_with_a_connection() {
        let mut exchanges = Exchanges { last_cseq: MAX_CSEQ - 1, ..Exchanges::default() };
        assert_eq!(exchanges.next_cseq(), MAX_CSEQ);
        assert_eq!(exchanges.next_cseq(), 1);
        exchanges.restart();
        assert_eq!(exchanges.next_cseq(), 2);
    }
}
