//! Describes a failed request to the API server in one sentence. The error messages of kube repeat the text
//! of every layer.

use std::error::Error;
use std::time::Duration;

use kube::Error as RequestError;

/// Returns the cause of a failed request, and the fix if it is known.
#[must_use]
pub(crate) fn reason(error: &RequestError) -> String {
    match error {
        RequestError::Api(status) if status.code == 401 => {
            "it does not accept the credentials (401); log in to the cluster again".to_owned()
        }
        RequestError::Api(status) => format!("{} ({})", status.message, status.code),
        RequestError::SerdeError(error) => format!("its answer is invalid: {error}"),
        error => advised(innermost(error)),
    }
}

/// Returns the message for a server that did not answer in time.
#[must_use]
pub(crate) fn silent(name: &str, patience: Duration) -> String {
    format!(
        "{name} did not answer within {} s; check the address, and whether a VPN or a proxy is needed to reach it",
        patience.as_secs()
    )
}

/// Returns the text of the innermost cause.
#[must_use]
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        // Only this error has the name of the file.
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
        "its certificate is not trusted: check certificate-authority in the kubeconfig"
    } else if text.to_ascii_lowercase().contains("connection refused") {
        "check that the cluster is running and that this is its address; --context NAME selects another one"
    } else if text.contains("failed to lookup address") {
        "the name of the server cannot be resolved: check the address, and whether a VPN or a proxy is needed to \
         reach it"
    } else if ["No route to host", "Network is unreachable", "timed out"]
        .iter()
        .any(|cause| text.contains(cause))
    {
        "the server cannot be reached: check the address, and whether a VPN or a proxy is needed to reach it"
    } else if text.contains("tunnel error: proxy authorization required") {
        "write the address of the proxy as http://USER:PASSWORD@HOST:PORT"
    } else if text.contains("tunnel error") {
        "the proxy refuses this address: add the address to NO_PROXY, or see the log of the proxy"
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
    fn each_layer_is_reported_once() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let middle = RequestError::Service(Box::new(refused));
        let outer = RequestError::Service(Box::new(middle));
        let said = reason(&outer);
        assert!(
            said.starts_with("connection refused; check that the cluster is running"),
            "{said}"
        );
        let unknown = io::Error::other("failed to lookup address information: no such name");
        let said = reason(&RequestError::Service(Box::new(unknown)));
        assert!(said.ends_with("whether a VPN or a proxy is needed to reach it"), "{said}");
        let certificate = io::Error::other("invalid peer certificate: UnknownIssuer");
        let said = reason(&RequestError::Service(Box::new(certificate)));
        assert!(said.ends_with(
            "; its certificate is not trusted: check certificate-authority in the kubeconfig"
        ));
    }

    #[test]
    fn answers_of_the_api_server_are_its_message_and_status() {
        let answer = |code, message: &str| {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            reason(&RequestError::Api(Box::new(status)))
        };
        assert_eq!(answer(403, "pods is forbidden"), "pods is forbidden (403)");
        assert!(answer(401, "Unauthorized").contains("log in to the cluster again"));
    }
}
