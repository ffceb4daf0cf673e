//! Events of the server: connections that end, handshakes that fail, certificates that expire, reloaded
//! files. They are counted in metrics and logged.

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// By the client, or after an answer that said so.
    Finished,
    /// In the middle of something.
    Error,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The data was not the head of a request.
    MalformedHead,
    /// The client did not read its answer.
    AnswerTimeout,
    /// No request came.
    FirstRequestTimeout,
    /// No further request came.
    IdleTimeout,
    /// Its place was needed.
    Evicted,
    /// The server stops.
    Drained,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// It took too long.
    Timeout,
    /// The two have no version, cipher or protocol in common, or the client broke the rules.
    Protocol,
    /// The client has no certificate that is accepted.
    ClientCertificate,
    /// The data was not TLS.
    NotTls,
    /// The client went away.
    Closed,
}

/// Certificates whose end matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// The one that clients see.
    Serving,
    /// The one that signed it, where that is known.
    ServingAuthority,
    /// The first to end of those that sign clients' certificates.
    ClientAuthority,
}

/// The content that was reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The configuration file.
    Configuration,
    /// The certificate and its key.
    Certificate,
    /// The CAs of clients.
    ClientAuthority,
    /// The namespaces file.
    Namespaces,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// It is in use from now on.
    Changed,
    /// It can't be used; keeping the last valid version.
    Failed,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal,)*) => {
        impl $type {
            /// Every one.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// A stable word.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words!(ConnectionEnd:
    Finished = "finished",
    Error = "error",
    HandshakeTimeout = "handshake_timeout",
    MalformedHead = "malformed_head",
    AnswerTimeout = "answer_timeout",
    FirstRequestTimeout = "first_request_timeout",
    IdleTimeout = "idle_timeout",
    Evicted = "evicted",
    Drained = "drained",
);
words!(HandshakeError:
    Timeout = "timeout",
    Protocol = "protocol",
    ClientCertificate = "client_certificate",
    NotTls = "not_tls",
    Closed = "closed",
);
words!(Certificate:
    Serving = "serving",
    ServingAuthority = "serving_authority",
    ClientAuthority = "client_authority",
);
words!(Reload:
    Configuration = "configuration",
    Certificate = "certificate",
    ClientAuthority = "client_authority",
    Namespaces = "namespaces",
);
words!(ReloadResult:
    Changed = "changed",
    Failed = "failed",
);
