//! Why a stream ends: one table of numbers, words, and whether to come back, for both transports.

use serde::Serialize;

/// Why the server ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Close {
    /// The viewer said goodbye.
    Bye,
    /// The server is going away; another is there.
    Draining,
    /// What came is no WebSocket protocol.
    ProtocolError,
    /// Messages are text.
    TextOnly,
    /// Text was not UTF-8.
    InvalidText,
    /// A message was larger than the server takes.
    TooBig,
    /// As many viewers as the limits allow.
    TryLater,
    /// It took too little of what it was sent.
    SlowViewer,
    /// Its token has expired.
    Reauthenticate,
    /// It did not answer.
    Silent,
    /// It sent more messages than a viewer may.
    TooManyMessages,
}

impl Close {
    /// The WebSocket close code.
    pub(crate) const fn code(self) -> u16 {
        self.row().0
    }

    /// The word for it.
    pub(crate) const fn reason(self) -> &'static str {
        self.row().1
    }

    /// Whether a client should come back by itself.
    pub(crate) const fn reconnect(self) -> bool {
        self.row().2
    }

    const fn row(self) -> (u16, &'static str, bool) {
        match self {
            Self::Bye => (1_000, "bye", false),
            Self::Draining => (1_001, "draining", true),
            Self::ProtocolError => (1_002, "protocol-error", false),
            Self::TextOnly => (1_003, "text-only", false),
            Self::InvalidText => (1_007, "invalid-utf8", false),
            Self::TooBig => (1_009, "too-big", false),
            Self::TryLater => (1_013, "try-later", true),
            Self::SlowViewer => (4_000, "slow-viewer", true),
            Self::Reauthenticate => (4_001, "reauthenticate", true),
            Self::Silent => (4_002, "silent", true),
            Self::TooManyMessages => (4_003, "too-many-messages", false),
        }
    }

    /// As an SSE event tells it.
    pub(crate) fn json(self) -> String {
        #[derive(Serialize)]
        struct Told {
            code: u16,
            reason: &'static str,
            reconnect: bool,
        }
        let told = Told { code: self.code(), reason: self.reason(), reconnect: self.reconnect() };
        serde_json::to_string(&told).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_says_whether_to_come_back() {
        assert_eq!(Close::SlowViewer.json(), r#"{"code":4000,"reason":"slow-viewer","reconnect":true}"#);
        assert!(!Close::TooBig.reconnect());
    }
}
