//! Holds keygate's decisions against the same rules written as Cedar policies: another language, read by another
//! engine, written from the tables in the documentation and not from the code.
//!
//! `policies` has the rules; a person who reads them and the tables can tell whether they say the same. A [`world`] is
//! a case in plain data. [`library`] makes keys of it and asks keygate, [`cedar`] makes entities of it and asks Cedar.
#![forbid(unsafe_code)]

pub mod cedar;
pub mod library;
pub mod world;
