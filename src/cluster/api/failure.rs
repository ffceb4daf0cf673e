//! What went wrong with a request to the API server, in one sentence. kube's own texts repeat each layer
//! that an error went through.

use std::error::Error;

use kube::Error as RequestError;

/// Why a request got no good answer, and what to do where that is known.
#[must_use]
pub(crate) fn reason(error: &RequestError) -> String {
    match error {
        RequestError::Api(status) if status.code == 401 => {
            "it does not accept the credentials (401); log in to the cluster again".to_owned()
        }
        RequestError::Api(status) => format!("{} ({})", status.message, status.code),
        RequestError::SerdeError(error) => format!("its answer can't be read: {error}"),
        error => advised(innermost(error)),
    }
}

/// The text of the cause of all causes.
#[must_use]
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        // The file is here and nowhere else.
        #[cfg(feature = "kubeconfig")]
        if let Some(kube::config::LoadDataError::ReadFile(why, file)) = cause.downcast_ref() {
            return format!("{}: {why}", file.display());
        }
        innermost = cause;
    }
    innermost.to_string()
}

fn advised(text: String) -> String {
    let advice = if text.contains("invalid peer certificate") {
        "the kubeconfig's certificate-authority is not that of this API server"
    } else if text.to_ascii_lowercase().contains("connection refused") {
        "nothing listens there: see whether the cluster runs, and whether this is its address"
    } else if text.contains("failed to lookup address") {
        "the server's name is not known here: a VPN or a proxy may be missing"
    } else if text.contains("tunnel error: proxy authorization required") {
        "write the proxy as http://USER:PASSWORD@HOST:PORT"
    } else if text.contains("tunnel error") {
        "the proxy does not let this address through; name it in NO_PROXY, or see the proxy's log"
    } else {
        return text;
    };
    format!("{text}; {advice}")
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;

    use super::*;

    #[test]
    fn each_layer_is_told_once() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let middle = RequestError::Service(Box::new(refused));
        let outer = RequestError::Service(Box::new(middle));
        let said = reason(&outer);
        assert!(said.starts_with("connection refused; nothing listens there: see"), "{said}");
        let unknown = io::Error::other("failed to lookup address information: no such name");
        let said = reason(&RequestError::Service(Box::new(unknown)));
        assert!(said.ends_with("a VPN or a proxy may be missing"), "{said}");
        let certificate = io::Error::other("invalid peer certificate: UnknownIssuer");
        let said = reason(&RequestError::Service(Box::new(certificate)));
        assert!(
            said.ends_with(
                "; the kubeconfig's certificate-authority is not that of this API server"
            )
        );
    }

    #[test]
    fn answers_of_the_api_server_are_its_sentence_and_status() {
        let answer = |code, message: &str| {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            reason(&RequestError::Api(Box::new(status)))
        };
        assert_eq!(answer(403, "pods is forbidden"), "pods is forbidden (403)");
        assert!(answer(401, "Unauthorized").contains("log in to the cluster again"));
    }
}
