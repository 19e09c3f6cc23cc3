//! Which workspaces are wanted.

use crate::model::{Failure, names};
use crate::pool::workspaces::{State, Workspace};
use crate::tools::labels::Selector;

/// Longest word of a filter, in bytes.
const MAX_WORD: usize = 256;

/// What a caller asks for.
pub(super) struct Filter {
    kind: Option<String>,
    state: Option<State>,
    labels: Option<Selector>,
    text: Option<String>,
}

impl Filter {
    /// Reads the arguments `type`, `state`, `labelSelector` and a fragment of the name.
    ///
    /// # Errors
    /// When one of them is none of its kind.
    pub(super) fn read(
        kind: Option<String>,
        state: Option<String>,
        labels: Option<String>,
        text: Option<String>,
    ) -> Result<Self, Failure> {
        let state = word("state", state)?.map(|word| read_state(&word)).transpose()?;
        let labels = labels.filter(|labels| !labels.trim().is_empty()).map(Selector::read).transpose()?;
        Ok(Self { kind: word("type", kind)?, state, labels, text: word("name", text)?.map(|text| text.to_lowercase()) })
    }

    /// Whether a workspace is wanted. A type is meant with and without the path of where it is.
    pub(super) fn takes(&self, workspace: &Workspace) -> bool {
        let value = |key: &str| {
            let found = workspace.labels.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.as_str())
        };
        let kind = &*workspace.kind;
        self.state.is_none_or(|wanted| wanted == workspace.state)
            && self.kind.as_deref().is_none_or(|wanted| {
                wanted == kind || kind.rsplit(':').next() == Some(wanted) || wanted.strip_prefix("root:") == Some(kind)
            })
            && self.text.as_deref().is_none_or(|text| workspace.name.contains(text))
            && self.labels.as_ref().is_none_or(|labels| labels.holds(value))
    }
}

fn word(name: &str, text: Option<String>) -> Result<Option<String>, Failure> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.len() > MAX_WORD => {
            Err(Failure::arguments(format!("{name} is longer than {MAX_WORD} bytes")))
        }
        text => Ok(text),
    }
}

fn read_state(word: &str) -> Result<State, Failure> {
    let found = State::ALL.into_iter().find(|state| state.word().eq_ignore_ascii_case(word));
    found.ok_or_else(|| {
        Failure::arguments(format!("there is no state {}", names::quote(word)))
            .hint(format!("States are {}", State::ALL.map(State::word).join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::pool::workspaces::{State, Workspace};

    #[test]
    fn workspaces_fit_or_do_not() {
        let workspace = |kind: &str| Workspace {
            name: "team-blue".into(),
            cluster: None,
            kind: kind.into(),
            state: State::Deleting,
            why: "".into(),
            mount: false,
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            created: None,
            deleted: None,
        };
        let own = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let takes = |kind: &str, [of, state, labels, text]: [&str; 4]| {
            Filter::read(own(of), own(state), own(labels), own(text)).map(|filter| filter.takes(&workspace(kind)))
        };
        for all in [["", "", "", ""], ["team", "deleting", "tier=gold", "BLUE"], ["root:org:team", "", "", "team"]] {
            assert!(takes("root:org:team", all).unwrap(), "{all:?}");
        }
        assert!(takes("universal", ["root:universal", "", "", ""]).unwrap());
        for none in [["universal", "", "", ""], ["", "ready", "", ""], ["", "", "!tier", ""], ["", "", "", "red"]] {
            assert!(!takes("root:org:team", none).unwrap(), "{none:?}");
        }
        assert!(takes("team", ["", "gone", "", ""]).unwrap_err().to_string().contains("initializing"));
        assert!(
            takes("team", ["", "", "a=b=c", ""]).is_err() && takes("team", [&"a".repeat(300), "", "", ""]).is_err()
        );
    }
}
