//! What to call next: lines that a program or a model copies into a call as they are.

use std::fmt;

/// A call: `kcp_workspaces_list cluster=kcp-eu:root:org`. A value with anything but the characters of names and addresses
/// stands in JSON quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    tool: &'static str,
    arguments: Vec<(&'static str, String)>,
}

impl Next {
    /// A call of `tool` at `cluster`.
    pub(super) fn at(tool: &'static str, cluster: &str) -> Self {
        Self { tool, arguments: vec![("cluster", cluster.to_owned())] }
    }

    /// Adds an argument.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.arguments.push((name, value.into()));
        self
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tool)?;
        for (name, value) in &self.arguments {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@/,=".contains(c);
            if !value.is_empty() && value.chars().all(plain) {
                write!(f, " {name}={value}")?;
            } else {
                write!(f, " {name}={}", serde_json::Value::from(value.as_str()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Next;

    #[test]
    fn values_are_quoted_where_they_could_be_read_otherwise() {
        let next = Next::at("resources_list", "kcp-eu:root:org").with("labelSelector", "team in (a)").with("kind", "");
        assert_eq!(next.to_string(), "resources_list cluster=kcp-eu:root:org labelSelector=\"team in (a)\" kind=\"\"");
    }
}
