//! Guides that belong to no single item.
//!
//! - [`service`]: put keygate in front of a server, and manage keys over HTTP. [`other_servers`]: without `tower`.
//!   [`answers`], [`streams`], [`audit`]: answers to clients, long requests, and the log.
//! - [`clients`]: which client sends its key where, and the settings for it.
//! - [`store`]: choose or write a store, a feed and a directory, and put a cache in front.
//! - [`operating`]: poolers, replicas, backups, several processes, and what to watch.
//! - [`cookbook`]: short recipes by title.
//! - [`rotation`], [`leaks`], [`migration`]: changing a secret, leaked secrets, and secrets of another system.
//! - [`threat_model`]: the defences, and your part. [`token_format`]: the format, for other implementations.

#[doc = include_str!("docs/token_format.md")]
pub mod token_format {}

#[doc = include_str!("docs/threat_model.md")]
pub mod threat_model {}

#[doc = include_str!("docs/rotation.md")]
pub mod rotation {}

#[doc = include_str!("docs/leaks.md")]
pub mod leaks {}

// Every page is in the docs of every build. Its examples run if their features are on, and a link to a missing item is
// plain text.

#[cfg(any(not(doctest), feature = "tower"))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/clients.md")]
pub mod clients {}

#[cfg(any(not(doctest), all(feature = "memory", feature = "tower")))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/service.md")]
pub mod service {}

#[cfg(any(not(doctest), all(feature = "memory", feature = "tower")))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/other_servers.md")]
pub mod other_servers {}

#[cfg(any(not(doctest), all(feature = "memory", feature = "tower")))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/answers.md")]
pub mod answers {}

#[cfg(any(not(doctest), all(feature = "memory", feature = "tower")))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/streams.md")]
pub mod streams {}

#[cfg(any(not(doctest), all(feature = "memory", feature = "tower")))]
#[cfg_attr(not(feature = "tower"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/audit.md")]
pub mod audit {}

#[cfg(any(not(doctest), all(feature = "cache", feature = "conformance")))]
#[cfg_attr(
    not(all(feature = "cache", feature = "conformance")),
    expect(rustdoc::broken_intra_doc_links, reason = "see above")
)]
#[doc = include_str!("docs/store.md")]
pub mod store {}

#[cfg_attr(not(feature = "cache"), expect(rustdoc::broken_intra_doc_links, reason = "see above"))]
#[doc = include_str!("docs/operating.md")]
pub mod operating {}

#[cfg(any(not(doctest), feature = "memory"))]
#[doc = include_str!("docs/migration.md")]
pub mod migration {}

#[cfg(any(not(doctest), all(feature = "cache", feature = "memory", feature = "tower")))]
#[cfg_attr(
    not(all(feature = "cache", feature = "tower")),
    expect(rustdoc::broken_intra_doc_links, reason = "see above")
)]
#[doc = include_str!("docs/cookbook.md")]
pub mod cookbook {}
