//! The rules of the contract, by name.

use core::fmt;

macro_rules! rules {
    ($($name:ident = $text:literal: $contract:literal;)*) => {
        /// A rule of the contract that a store can break.
        ///
        /// ```
        /// use keygate::store::conformance::Rule;
        /// assert_eq!(Rule::RevokeWins.to_string(), "revoke_wins");
        /// assert!(Rule::ALL.iter().all(|rule| rule.contract().ends_with('.')));
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $contract] $name,)*
        }

        impl Rule {
            /// Every rule, in the order in which they are explained.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in reports.
            ///
            /// ```
            /// use keygate::store::conformance::Rule;
            /// assert_eq!(Rule::NameTaken.as_str(), "name_taken");
            /// ```
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns what the contract demands, in a sentence.
            ///
            /// ```
            /// use keygate::store::conformance::Rule;
            /// assert_eq!(Rule::FindAbsent.contract(), "`find` answers `None` for an id that is not stored.");
            /// ```
            #[must_use]
            pub const fn contract(self) -> &'static str {
                match self {
                    $(Self::$name => $contract,)*
                }
            }
        }
    };
}

rules! {
    NoFailure = "no_failure":
        "Every operation responses; an outer error or a panic is no answer.";
    FindAbsent = "find_absent":
        "`find` answers `None` for an id that is not stored.";
    FindSeesAcknowledged = "find_sees_acknowledged":
        "A `find` that starts after a change was acknowledged sees the change.";
    FindCurrent = "find_current":
        "`find_current` answers what is stored, whatever was found before.";
    FindNow = "find_now":
        "`find_now` knows nothing, or what `find` responses.";
    RoundTrip = "round_trip":
        "A record is found and listed as it was inserted, in every column.";
    ScopesKept = "scopes_kept":
        "The names in a scope stay as they were granted, whether or not anything of that name exists.";
    IdsByteByByte = "ids_byte_by_byte":
        "Ids of keys, users and teams are compared byte by byte.";
    OwnersByKind = "owners_by_kind":
        "A user and a team of one id are two owners.";
    IdTaken = "id_taken":
        "Inserting an id that exists answers `IdTaken` and replaces nothing.";
    NameTaken = "name_taken":
        "A name that a key of the same owner has which is not revoked answers `NameTaken` and changes nothing.";
    NameFree = "name_free":
        "A name is free if only keys of other owners, revoked keys or the renamed key itself have it.";
    ChangeAbsent = "change_absent":
        "A change of a key that is not stored answers `Absent`, a touch of one nothing, and none stores anything.";
    AnswerByStatus = "answer_by_status":
        "The answer to a change follows from the status of the key, as the table of `KeyManagementStore` says.";
    NothingElseChanges = "nothing_else_changes":
        "A change alters what it is named for and nothing else, and a refused one nothing at all.";
    RevokedIsFinal = "revoked_is_final":
        "A change of a revoked key answers `Revoked`, a touch of one nothing, and none changes anything.";
    FirstRevocationKept = "first_revocation_kept":
        "Revoking again keeps and answers the time of the first revocation.";
    TouchForward = "touch_forward":
        "`touch` never moves the last use backwards.";
    TouchNotPastNow = "touch_not_past_now":
        "`touch` never moves the last use past `now`.";
    RotateExpected = "rotate_expected":
        "`rotate` answers `Changed`, and changes nothing, unless the current digest is the expected one.";
    RotatePrevious = "rotate_previous":
        "`rotate` clears or sets the previous secret as it is asked to.";
    RotateKeepsStored = "rotate_keeps_stored":
        "`rotate` that is to keep the previous secret leaves what the store holds, be it nothing.";
    ListMembers = "list_members":
        "`list` gives the keys of the owner or creator asked for, revoked ones included, and no others.";
    ListOrder = "list_order":
        "`list` goes by creation time and then by the bytes of the id.";
    ListOnce = "list_once":
        "A walk over the pages ends, and sees each key that exists all the while exactly once.";
    PageLimit = "page_limit":
        "A page holds no more records than its limit.";
    PageNext = "page_next":
        "A page says the place behind its last record if more follow, and nothing if it is the last.";
    RevokeAllExact = "revoke_all_exact":
        "`revoke_all` ends the keys of one owner that are not revoked, and no others, and answers their ids in order.";
    RevokeAllDryRun = "revoke_all_dry_run":
        "A dry `revoke_all` answers what a real one would, and changes nothing.";
    RevokeWins = "revoke_wins":
        "No change that runs at the same time brings a revoked key back.";
    OneRevocation = "one_revocation":
        "Revocations at the same time all answer one time, which is the one that is stored.";
    OneRotationWins = "one_rotation_wins":
        "Of rotations at the same time with one expected digest exactly one is done.";
    OneIdWins = "one_id_wins":
        "Of inserts at the same time with one id exactly one is done.";
    OneNameWins = "one_name_wins":
        "Of inserts and renames at the same time to one name of one owner exactly one is done.";
    NoLostChange = "no_lost_change":
        "Changes of different parts of a key at the same time all last.";
    RevokeAllOneStep = "revoke_all_one_step":
        "`revoke_all` is one step: the ids it answers are those that it ended, whatever happens at the same time.";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
