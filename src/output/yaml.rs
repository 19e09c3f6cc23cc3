//! Objects as YAML.

use serde_json::Value;

use crate::model::Failure;

/// One object; ends with a line end.
///
/// # Errors
/// Internal, when the serializer refuses the value.
pub(super) fn object(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| Failure::internal("YAML").because(&error))
}

/// What stands before, between and after the items of a list: one document per item.
pub(super) const LIST: super::sheet::Frame = super::sheet::Frame { before: "", between: "---\n", after: "" };
