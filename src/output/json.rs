//! Objects as compact JSON.

use serde_json::Value;

/// One object.
pub(super) fn object(value: &Value) -> String {
    value.to_string()
}

/// What stands before, between and after the items of a list: an array with one item per line.
pub(super) const LIST: super::sheet::Frame = super::sheet::Frame { before: "[\n", between: ",\n", after: "\n]" };
