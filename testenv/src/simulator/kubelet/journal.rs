//! Log queries of a kubelet (`?query=kubelet&tailLines=10`): the journal of a unit, or a file of that name.
//!
//! `boot` is checked and has no effect, since there is one boot; `pattern` is taken as plain text.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::container::{ContainerLog, Excerpt};
use crate::simulator::request::Call;

const MOST_SERVICES: usize = 4;
const MOST_LINES: i64 = 100_000;

/// What a query asks for.
#[derive(Default)]
pub(super) struct Query {
    pub(super) files: Vec<String>,
    services: Vec<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    tail: Option<i64>,
    boot: Option<i64>,
    pattern: Option<String>,
}

impl Query {
    /// Nothing when this is no query; otherwise the query, or why it cannot be read.
    pub(super) fn parse(call: &Call) -> Result<Option<Self>, String> {
        let asked: Vec<&str> =
            call.query.iter().filter(|(key, _)| key == "query").map(|(_, value)| value.as_str()).collect();
        let mut query = Self { pattern: call.parameter("pattern").map(str::to_owned), ..Self::default() };
        for value in &asked {
            if value.contains(['/', '\\']) {
                query.files.push((*value).to_owned());
            } else if !value.trim().is_empty() {
                query.services.push((*value).to_owned());
            }
        }
        if !asked.is_empty() && query.files.is_empty() && query.services.is_empty() {
            return Err(format!("query: Invalid value: {}: may not be empty", quoted(&asked)));
        }
        let time = |name: &str| {
            let parsed = call.parameter(name).map(|text| text.parse::<Timestamp>().map_err(|_| text));
            parsed.transpose().map_err(|text| format!("{name}: Invalid value: {text:?}: invalid time format"))
        };
        let number = |name: &str| {
            let parsed = call.parameter(name).map(|text| text.parse::<i64>().map_err(|_| text));
            parsed.transpose().map_err(|text| {
                format!("{name}: Invalid value: {text:?}: strconv.Atoi: parsing {text:?}: invalid syntax")
            })
        };
        (query.since, query.until) = (time("sinceTime")?, time("untilTime")?);
        (query.boot, query.tail) = (number("boot")?, number("tailLines")?);
        let is_query = !asked.is_empty() || query.has_options();
        Ok(is_query.then_some(query))
    }

    fn has_options(&self) -> bool {
        let times = self.since.is_some() || self.until.is_some();
        times || self.tail.is_some() || self.boot.is_some() || self.pattern.is_some()
    }

    pub(super) fn validate(&self, exists: impl Fn(&str) -> bool) -> Result<(), String> {
        let unsafe_name = |name: &&String| name.chars().any(|c| !c.is_ascii_alphanumeric() && !"-_.:@".contains(c));
        let error = match (self.files.as_slice(), self.services.as_slice()) {
            (_, services) if services.iter().any(|name| unsafe_name(&name)) => {
                let name = services.iter().find(unsafe_name).map(String::as_str).unwrap_or_default();
                format!("query: Invalid value: {name:?}: input contains unsupported characters")
            }
            (_, services) if services.len() > MOST_SERVICES => {
                format!("query: Too many: {}: must have at most {MOST_SERVICES} items", services.len())
            }
            ([], []) => "query: Required value: cannot be empty with options".to_owned(),
            ([_, ..], [_, ..]) => {
                let both = format!("[{}], [{}]", self.files.join(" "), self.services.join(" "));
                format!("query: Invalid value: {both:?}: cannot specify a file and service")
            }
            ([_, _, ..], []) => {
                format!("query: Invalid value: {}: cannot specify more than one file", quoted(&self.files))
            }
            ([_], []) if self.has_options() => {
                format!("query: Invalid value: {}: cannot specify file with options", quoted(&self.files))
            }
            ([file], []) if !exists(file) => {
                let why = format!("statat {}: no such file or directory", file.trim_start_matches('/'));
                format!("query: Invalid value: {}: {why}", quoted(&self.files))
            }
            _ => return self.validate_options(),
        };
        Err(error)
    }

    fn validate_options(&self) -> Result<(), String> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(format!("untilTime: Invalid value: {:?}: must be after `sinceTime`", until.to_string()));
        }
        if let Some(boot) = self.boot.filter(|boot| *boot > 0) {
            return Err(format!("boot: Invalid value: {boot}: must be less than 1"));
        }
        match self.tail {
            Some(tail) if !(0..=MOST_LINES).contains(&tail) => {
                Err(format!("tailLines: Invalid value: {tail}: must be between 0 and {MOST_LINES}, inclusive"))
            }
            _ => Ok(()),
        }
    }

    /// The journals of the units that have one, then the files of the others, if no option was given.
    pub(super) fn copy<'a>(
        &self,
        journals: &BTreeMap<String, ContainerLog>,
        file: impl Fn(&str) -> Option<&'a str>,
    ) -> String {
        let (native, others): (Vec<_>, Vec<_>) = self.services.iter().partition(|name| journals.contains_key(*name));
        let mut out: String = native.iter().filter_map(|name| journals.get(*name)).map(|log| self.lines(log)).collect();
        if !others.is_empty() && self.has_options() {
            let names: Vec<&str> = others.iter().map(|name| name.as_str()).collect();
            out.push_str(&format!(
                "\noptions present and query resolved to log files for [{}]\ntry without specifying options\n",
                names.join(" ")
            ));
            return out;
        }
        for name in others {
            let candidates = [name.clone(), format!("{name}.log"), format!("{name}/{name}.log")];
            match candidates.iter().find_map(|candidate| file(candidate)) {
                Some(text) => out.push_str(text),
                None => out.push_str(&format!("\nlog not found for {name}\n")),
            }
        }
        out
    }

    fn lines(&self, log: &ContainerLog) -> String {
        let excerpt = Excerpt { since: self.since, timestamps: true, ..Excerpt::default() };
        let Some(run) = log.run(false) else {
            return String::new();
        };
        let text = String::from_utf8_lossy(&run.read(&excerpt)).into_owned();
        let wanted = text.lines().filter_map(|line| line.split_once(' ')).filter(|(at, line)| {
            let early = self.until.is_none_or(|until| at.parse::<Timestamp>().is_ok_and(|at| at <= until));
            early && self.pattern.as_deref().is_none_or(|pattern| line.contains(pattern))
        });
        let lines: Vec<&str> = wanted.map(|(_, line)| line).collect();
        let tail = self.tail.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(lines.len());
        let start = lines.len().saturating_sub(tail);
        lines[start..].iter().map(|line| format!("{line}\n")).collect()
    }
}

/// As Go shows a slice of strings in a field error.
fn quoted<T: AsRef<str>>(values: &[T]) -> String {
    let all: Vec<String> = values.iter().map(|value| format!("{:?}", value.as_ref())).collect();
    format!("[{}]", all.join(","))
}
