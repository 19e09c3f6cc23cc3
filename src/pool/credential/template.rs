//! Templates over a caller's verified identity: `{realm}:{username}`.

use crate::model::Principal;

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Realm,
    Issuer,
    Subject,
    Username,
    Client,
    Group,
}

/// Why a template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("\"{{{0}}}\" is no part of an identity")]
    Unknown(String),
    #[error("a '{{' is not closed")]
    Open,
    #[error("the template is empty or has no part of the caller's identity")]
    Constant,
}

impl TemplateError {
    pub(super) fn fix(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "use {realm}, {iss}, {sub}, {username}, {azp} and, in groups, {group}",
            Self::Open => "close it, or leave it out",
            Self::Constant => {
                "every caller would be the same user: name {username} or {sub}, as \"{realm}:{username}\""
            }
        }
    }
}

impl Template {
    /// Compiles `text`; `{group}` only where `groups`.
    pub(super) fn parse(text: &str, groups: bool) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Open)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "realm" => Part::Realm,
                "iss" => Part::Issuer,
                "sub" => Part::Subject,
                "username" => Part::Username,
                "azp" => Part::Client,
                "group" if groups => Part::Group,
                other => return Err(TemplateError::Unknown(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Compiles a template that must tell one caller from the next.
    pub(super) fn parse_personal(text: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(text, false)?;
        let personal = template.0.iter().any(|part| matches!(part, Part::Subject | Part::Username));
        if personal { Ok(template) } else { Err(TemplateError::Constant) }
    }

    /// True when it tells people of one realm from those of the next.
    pub(super) fn tells_realms_apart(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Realm | Part::Issuer))
    }

    /// The text for `principal`, and for one of its groups where the template names `{group}`.
    pub(super) fn fill(&self, principal: &Principal, group: Option<&str>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Realm => principal.realm.to_string(),
            Part::Issuer => principal.iss.clone(),
            Part::Subject => principal.sub.clone(),
            Part::Username => principal.username.clone(),
            Part::Client => principal.azp.clone().unwrap_or_default(),
            Part::Group => group.unwrap_or_default().to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateError};

    #[test]
    fn templates_name_parts_of_an_identity() {
        assert!(Template::parse("{realm}:{group}", true).is_ok());
        assert_eq!(Template::parse("{group}", false), Err(TemplateError::Unknown("group".into())));
        assert_eq!(Template::parse("a{sub", false), Err(TemplateError::Open));
        assert_eq!(Template::parse_personal("{realm}:admin"), Err(TemplateError::Constant));
        assert!(Template::parse_personal("{iss}#{sub}").is_ok());
    }
}
