//! Pages that belong to no single item.

#[doc = include_str!("docs/token_format.md")]
pub mod token_format {}

#[doc = include_str!("docs/threat_model.md")]
pub mod threat_model {}

#[doc = include_str!("docs/rotation.md")]
pub mod rotation {}
