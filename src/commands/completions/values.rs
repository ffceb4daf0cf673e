//! Values of arguments for completion. Errors give an empty list, since they would disrupt the
//! user's typing.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use prestop_core::audit::Rule;
use prestop_core::catalogue::Catalogue;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::super::explain;
use crate::cluster::api::objects::Named;
use crate::cluster::api::{self, Api, Choice, Collection};

/// Time limit for an answer: the user is waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the contexts of the kubeconfig.
pub(super) fn contexts() -> Vec<CompletionCandidate> {
    api::contexts(&choice(std::env::args_os())).into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the namespaces of the cluster, if it answers quickly.
pub(super) fn namespaces() -> Vec<CompletionCandidate> {
    let choice = choice(std::env::args_os());
    let found = Builder::new_current_thread().enable_all().build().ok().and_then(|runtime| {
        runtime.block_on(async {
            let api = Api::new(api::target(&choice).ok()?.client);
            let all = Collection::namespaces();
            timeout(PATIENCE, api.list::<Named>(&all, "")).await.ok()?.ok()
        })
    });
    let names = found.unwrap_or_default().into_iter().map(|it| it.metadata.name);
    names.map(CompletionCandidate::new).collect()
}

/// Returns the codes in reports, metrics and logs.
pub(super) fn codes() -> Vec<CompletionCandidate> {
    explain::codes().map(|(code, sentence)| described(code, sentence)).collect()
}

/// Returns the rules of the audit.
pub(super) fn rules() -> Vec<CompletionCandidate> {
    let texts = Rule::ALL.iter().map(|rule| rule.text());
    texts.map(|text| described(text.id, text.sentence)).collect()
}

/// Returns the images with a profile whose names are known in full.
pub(super) fn images() -> Vec<CompletionCandidate> {
    let profiles = Catalogue::built_in().profiles().iter();
    let mut seen = HashSet::new();
    let images = profiles.flat_map(|profile| {
        let patterns = profile.images.iter().map(ToString::to_string);
        let names = patterns.filter(|pattern| !pattern.contains('*'));
        names.map(|name| (name.strip_prefix("library/").unwrap_or(&name).to_owned(), &profile.name))
    });
    let images = images.filter(|(image, _)| seen.insert(image.clone()));
    images.map(|(image, profile)| described(&image, profile)).collect()
}

fn described(value: &str, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.to_owned().into()))
}

/// Returns the choice of the cluster in the command line so far.
fn choice(words: impl Iterator<Item = OsString>) -> Choice {
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let value = |flag: &str| {
        words.iter().enumerate().find_map(|(index, word)| match word.strip_prefix(flag)? {
            "" => words.get(index + 1).cloned(),
            rest => rest.strip_prefix('=').map(str::to_owned),
        })
    };
    Choice {
        kubeconfig: value("--kubeconfig").map(PathBuf::from),
        // The word that is being typed is not a value yet.
        context: value("--context").filter(|name| !name.is_empty()),
        impersonate: value("--as").filter(|name| !name.is_empty()),
        ..Choice::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_of_the_line_is_asked() {
        let of = |line: &str| choice(line.split(' ').map(OsString::from));
        let expected = Choice {
            kubeconfig: Some(PathBuf::from("x")),
            context: Some("here".to_owned()),
            ..Choice::default()
        };
        assert_eq!(of("check --kubeconfig x --context=here -n"), expected);
        assert_eq!(of("check --kubeconfig=x --context here -n"), expected);
        assert_eq!(of("check --context "), Choice::default());
    }
}
