//! Events of the server: connections that end, handshakes that fail, certificates that expire, reloaded
//! files. They are counted in metrics and logged.

/// Reason why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// Closed by the client, or after a response with `Connection: close`.
    Finished,
    /// Failed during the handshake or a request.
    Error,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The data was not the head of a request.
    MalformedHead,
    /// The client did not read its answer in time.
    AnswerTimeout,
    /// No first request came in time.
    FirstRequestTimeout,
    /// No further request came in time.
    IdleTimeout,
    /// Closed to make room or to free memory for another connection.
    Evicted,
    /// Closed because the server stops.
    Drained,
}

/// Reason why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// It took too long.
    Timeout,
    /// Client and server have no version, cipher or protocol in common, or the client violated the
    /// protocol.
    Protocol,
    /// The client has no certificate that is accepted.
    ClientCertificate,
    /// The data was not TLS.
    NotTls,
    /// The client closed the connection.
    Closed,
}

/// Certificates whose expiry is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// The certificate that clients see.
    Serving,
    /// The CA that signed it, if that is known.
    ServingAuthority,
    /// Among the CAs that sign clients' certificates, the first to expire.
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

/// Result of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new content is in use.
    Changed,
    /// The new content can't be used; the last valid version stays in use.
    Failed,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal,)*) => {
        impl $type {
            /// All values.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// Returns the stable name of this value.
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
