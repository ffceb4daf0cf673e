//! A slow request, in flight while the server is stopped.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::PATIENCE;

/// Size of the downloaded file.
pub(crate) const BODY_BYTES: usize = 400_000;

/// A download in its own thread, between its first byte and its last.
pub(crate) struct Download {
    client: JoinHandle<io::Result<Vec<u8>>>,
}

/// Result of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole body, byte for byte.
    Complete,
    /// The connection ended before the end of the body.
    Cut,
}

/// Returns the content of the downloaded file.
pub(crate) fn body() -> Vec<u8> {
    (0..=250).cycle().take(BODY_BYTES).collect()
}

impl Download {
    /// Requests a file and returns when the response has begun.
    pub(crate) fn begin(port: u16, path: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (begun, has_begun) = mpsc::channel();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            let head = read_head(&mut stream)?;
            assert!(head.starts_with(b"HTTP/1.1 200 "), "not found");
            let mut body = vec![0];
            stream.read_exact(&mut body)?;
            begun.send(()).unwrap();
            // An error is one way for the response to end: the bytes received so far count.
            let _ = stream.read_to_end(&mut body);
            Ok(body)
        });
        has_begun.recv().expect("the download did not begin");
        Self { client }
    }

    /// Waits for the end of the download.
    pub(crate) fn outcome(self) -> Outcome {
        let received = self.client.join().unwrap().unwrap();
        if received == body() { Outcome::Complete } else { Outcome::Cut }
    }
}

/// Starts several downloads of the same file at the same time.
pub(crate) fn begin_several(port: u16, path: &str) -> Vec<Download> {
    (0..4).map(|_| Download::begin(port, path)).collect()
}

/// Returns the outcome of the downloads, which must be the same for all.
pub(crate) fn outcome_of_all(downloads: Vec<Download>) -> Outcome {
    let outcomes: Vec<_> = downloads.into_iter().map(Download::outcome).collect();
    assert!(outcomes.windows(2).all(|two| two[0] == two[1]), "{outcomes:?}");
    outcomes[0]
}

fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(head)
}
