//! Reads one list of the API, page by page.

use std::collections::HashSet;
use std::time::Duration;

use http::Request;
use kube::core::params::ListParams;
use kube::core::request::Request as Requests;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::name_of;
use super::trimmed::Trimmed;
use crate::cluster::api::Api;

/// Time limit for one page. The API server itself ends requests after a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// Maximum number of restarts: a list that expires more often is never read to its end.
const MOST_RESTARTS: usize = 10;

/// A list of the API.
pub(super) struct Pages<'a> {
    pub(super) api: &'a Api,
    pub(super) path: String,
    /// Label selector in the API's format.
    pub(super) labels: &'a str,
    /// Objects per page.
    pub(super) size: u32,
}

/// The result of a list request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// The list was read to its end.
    All,
    /// The list may not be read.
    Forbidden,
    /// The kind or the object does not exist.
    Absent,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    // `null` if there are none.
    items: Option<Vec<Trimmed>>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Pages<'_> {
    /// Passes each object to `take` once. If a continue token has expired, the list is read again,
    /// and objects that were passed before are skipped.
    pub(super) async fn read(
        &self,
        take: &mut dyn FnMut(Value),
        told: &dyn Fn(usize),
    ) -> Result<Listed, kube::Error> {
        let mut seen = HashSet::new();
        let mut next = None;
        let mut restarts = 0;
        loop {
            let is_first = next.is_none();
            let page: Page = match self.page(next.take()).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.code == 410 && !is_first => {
                    restarts += 1;
                    if restarts > MOST_RESTARTS {
                        return Err(kube::Error::Api(status));
                    }
                    continue;
                }
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Listed::Forbidden);
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Listed::Absent),
                Err(error) => return Err(error),
            };
            for Trimmed(object) in page.items.unwrap_or_default() {
                if seen.insert(name_of(&object)) {
                    take(object);
                }
            }
            told(seen.len());
            match page.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token),
                None => return Ok(Listed::All),
            }
        }
    }

    async fn page(&self, next: Option<String>) -> Result<Page, kube::Error> {
        let mut parameters = ListParams::default().limit(self.size).labels(self.labels);
        parameters.continue_token = next;
        let request = Requests::new(self.path.as_str()).list(&parameters);
        answer(self.api, request.map_err(kube::Error::BuildRequest)?).await
    }
}

/// Reads one object; `None` if it does not exist.
pub(super) async fn one(
    api: &Api,
    path: &str,
    name: &str,
) -> Result<(Listed, Option<Value>), kube::Error> {
    match get::<Trimmed>(api, &format!("{path}/{name}")).await {
        Ok(Some(Trimmed(object))) => Ok((Listed::All, Some(object))),
        Ok(None) => Ok((Listed::Absent, None)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok((Listed::Forbidden, None)),
        Err(error) => Err(error),
    }
}

/// Reads the value at a path; `None` if the path does not exist.
pub(super) async fn get<T: DeserializeOwned>(
    api: &Api,
    path: &str,
) -> Result<Option<T>, kube::Error> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match answer(api, request).await {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn answer<T: DeserializeOwned>(
    api: &Api,
    request: Request<Vec<u8>>,
) -> Result<T, kube::Error> {
    let answered = timeout(PATIENCE, api.bytes(request)).await;
    let late = std::io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()));
    let bytes = answered.map_err(|_| kube::Error::Service(Box::new(late)))??;
    serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Returns an API that gives these answers, one after the other, and the requests that it
    /// receives.
    fn api(answers: Vec<(u16, Value)>) -> (Api, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let service = tower::service_fn({
            let asked = Arc::clone(&asked);
            move |request: Request<Body>| {
                asked.lock().unwrap().push(request.uri().to_string());
                let (status, body) = answers.lock().unwrap().next().unwrap();
                let mut response = Response::new(Body::from(body.to_string().into_bytes()));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                std::future::ready(Ok::<_, Infallible>(response))
            }
        });
        (Api::new(Client::new(service, "default")), asked)
    }

    fn page(names: &[&str], next: &str) -> (u16, Value) {
        let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        (200, json!({"metadata": {"continue": next}, "items": items}))
    }

    fn refusal(code: u16) -> (u16, Value) {
        (
            code,
            json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "x", "code": code}),
        )
    }

    async fn read(answers: Vec<(u16, Value)>) -> (Result<Listed, u16>, Vec<String>, Vec<String>) {
        let (api, asked) = api(answers);
        let pages = Pages { api: &api, path: "/api/v1/pods".to_owned(), labels: "a=b", size: 2 };
        let mut names = Vec::new();
        let mut take =
            |object: Value| names.push(object["metadata"]["name"].as_str().unwrap().to_owned());
        let listed = pages.read(&mut take, &|_| {}).await;
        let listed = listed.map_err(|error| match error {
            kube::Error::Api(status) => status.code,
            error => panic!("{error}"),
        });
        let asked = asked.lock().unwrap().clone();
        (listed, names, asked)
    }

    #[tokio::test]
    async fn a_list_is_read_page_by_page() {
        let (listed, names, asked) = read(vec![page(&["a", "b"], "t/1"), page(&["c"], "")]).await;
        assert_eq!((listed, names.join(" ").as_str()), (Ok(Listed::All), "a b c"));
        assert_eq!(asked[0], "/api/v1/pods?&labelSelector=a%3Db&limit=2");
        assert!(asked[1].contains("continue=t%2F1") && asked[1].contains("limit=2"), "{asked:?}");
        let nothing = vec![(200, json!({"metadata": {}, "items": null}))];
        assert_eq!(read(nothing).await.0, Ok(Listed::All));
    }

    #[tokio::test]
    async fn a_list_that_expires_is_read_again_without_duplicates() {
        let answers = vec![
            page(&["a", "b"], "old"),
            refusal(410),
            page(&["a", "new"], "young"),
            page(&["b", "c"], ""),
        ];
        let (listed, names, asked) = read(answers).await;
        assert_eq!((listed, names.join(" ").as_str()), (Ok(Listed::All), "a b new c"));
        assert!(asked[1].contains("continue=old") && !asked[2].contains("continue"), "{asked:?}");
        let endless = (0..40).map(|number| match number % 2 {
            0 => page(&["a"], "old"),
            _ => refusal(410),
        });
        assert_eq!(read(endless.collect()).await.0, Err(410));
        assert_eq!(read(vec![refusal(410)]).await.0, Err(410), "without a token it is an error");
    }

    #[tokio::test]
    async fn what_is_forbidden_or_absent_is_no_error() {
        assert_eq!(read(vec![refusal(403)]).await.0, Ok(Listed::Forbidden));
        assert_eq!(read(vec![refusal(404)]).await.0, Ok(Listed::Absent));
        assert_eq!(read(vec![page(&["a"], "t"), refusal(500)]).await.0, Err(500));
    }
}
